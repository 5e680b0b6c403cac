import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.api.transaction.CuratorTransactionResult;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.barriers.DistributedBarrier;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.CuratorCacheListener;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;
import org.apache.curator.framework.recipes.nodes.GroupMember;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.framework.recipes.nodes.PersistentTtlNode;
import org.apache.curator.framework.recipes.queue.DistributedQueue;
import org.apache.curator.framework.recipes.queue.QueueBuilder;
import org.apache.curator.framework.recipes.queue.QueueConsumer;
import org.apache.curator.framework.recipes.queue.QueueSerializer;
import org.apache.curator.framework.recipes.queue.SimpleDistributedQueue;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryForever;
import org.apache.curator.retry.RetryNTimes;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Stat;

/**
 * Judges a ZooKeeper server with Apache Curator's recipes: {@code Recipes HOST:PORT}.
 *
 * <p>Prints {@code ok NAME} or {@code FAILED NAME: reason} for each check. FK_ZK_CONTROL is a command that kills and
 * starts the server.
 */
public final class Recipes {
  private static final int PATIENCE = 30;
  private static final int SESSION_MS = 20_000;
  private static final ExecutorService THREADS = Executors.newCachedThreadPool();
  private static String server;
  private static CuratorFramework one;
  private static CuratorFramework two;
  private static boolean failed;

  interface Body {
    void run() throws Exception;
  }

  interface Condition {
    boolean holds() throws Exception;
  }

  public static void main(String[] args) throws Exception {
    server = args[0];
    one = client();
    two = client();
    test("mutex", Recipes::mutex);
    test("mutex_of_a_dead_client", Recipes::mutexOfADeadClient);
    test("read_write_lock", Recipes::readWriteLock);
    test("semaphore", Recipes::semaphore);
    test("leader_latch", Recipes::leaderLatch);
    test("leader_selector", Recipes::leaderSelector);
    test("barrier", Recipes::barrier);
    test("double_barrier", Recipes::doubleBarrier);
    test("cache", Recipes::cache);
    test("shared_count", Recipes::sharedCount);
    test("atomic_long", Recipes::atomicLong);
    test("simple_queue", Recipes::simpleQueue);
    test("queue", Recipes::queue);
    test("transaction", Recipes::transaction);
    test("ttl_and_container", Recipes::ttlAndContainer);
    test("ttl_node_is_kept", Recipes::ttlNodeIsKept);
    test("persistent_recursive_watch", Recipes::recursiveWatch);
    test("persistent_watch", Recipes::persistentWatch);
    test("group_member", Recipes::groupMember);
    test("acl", Recipes::acl);
    test("background_and_protected", Recipes::backgroundAndProtected);
    test("persistent_node_after_kill", () -> persistentNode("kill"));
    test("persistent_node_after_stop", () -> persistentNode("stop"));
    test("cache_after_kill", Recipes::cacheAfterKill);
    test("leader_after_kill", Recipes::leaderAfterKill);
    one.close();
    two.close();
    System.exit(failed ? 1 : 0);
  }

  private static void test(String name, Body body) {
    try {
      THREADS.submit(() -> {
        body.run();
        return null;
      }).get(PATIENCE * 3L, TimeUnit.SECONDS);
      System.out.println("ok " + name);
    } catch (Exception error) {
      failed = true;
      var cause = error.getCause() == null ? error : error.getCause();
      var at = Arrays.stream(cause.getStackTrace()).filter(f -> f.getClassName().startsWith("Recipes")).findFirst();
      var line = at.map(f -> " in line " + f.getLineNumber()).orElse("");
      System.out.println("FAILED " + name + ": " + cause.getClass().getSimpleName() + line + ": " + cause.getMessage());
    }
  }

  private static CuratorFramework client() throws Exception {
    var client = CuratorFrameworkFactory.builder().connectString(server).sessionTimeoutMs(SESSION_MS)
        .connectionTimeoutMs(PATIENCE * 1000).retryPolicy(new RetryForever(100)).build();
    client.start();
    expect(client.blockUntilConnected(PATIENCE, TimeUnit.SECONDS), true, "connected");
    return client;
  }

  private static void expect(Object found, Object wanted, String what) {
    if (!wanted.equals(found)) {
      throw new AssertionError(what + ": found " + found + ", expected " + wanted);
    }
  }

  private static void await(String what, Condition condition) throws Exception {
    var end = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE);
    while (!condition.holds()) {
      if (System.nanoTime() > end) {
        throw new AssertionError(what + ": not within " + PATIENCE + " s");
      }
      Thread.sleep(20);
    }
  }

  private static void control(String verb) throws Exception {
    var process = new ProcessBuilder(System.getenv("FK_ZK_CONTROL"), verb).redirectErrorStream(true).start();
    var said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    expect(process.waitFor(), 0, verb + " (" + said.trim() + ")");
  }

  private static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  private static String text(byte[] bytes) {
    return new String(bytes, StandardCharsets.UTF_8);
  }

  /** Steps of a counter get lost unless the lock excludes. */
  private static void mutex() throws Exception {
    var inside = new AtomicInteger();
    var counter = new int[1];
    var ends = new ArrayList<Future<?>>();
    for (var client : List.of(one, two, one, two)) {
      var lock = new InterProcessMutex(client, "/mutex");
      ends.add(THREADS.submit(() -> {
        for (int round = 0; round < 10; round++) {
          lock.acquire();
          lock.acquire(); // it is reentrant
          expect(inside.incrementAndGet(), 1, "holders");
          counter[0]++;
          inside.decrementAndGet();
          lock.release();
          lock.release();
        }
        return null;
      }));
    }
    for (var end : ends) {
      end.get(PATIENCE, TimeUnit.SECONDS);
    }
    expect(counter[0], 40, "counter");
    expect(one.getChildren().forPath("/mutex").size(), 0, "nodes of the lock");
  }

  private static void mutexOfADeadClient() throws Exception {
    var third = client();
    var held = new InterProcessMutex(third, "/mutex");
    held.acquire();
    var wanted = new InterProcessMutex(two, "/mutex");
    expect(wanted.acquire(300, TimeUnit.MILLISECONDS), false, "acquired while another has it");
    third.close();
    expect(wanted.acquire(PATIENCE, TimeUnit.SECONDS), true, "acquired after the other went");
    wanted.release();
  }

  private static void readWriteLock() throws Exception {
    var mine = new InterProcessReadWriteLock(one, "/rw");
    var theirs = new InterProcessReadWriteLock(two, "/rw");
    mine.readLock().acquire();
    expect(theirs.readLock().acquire(PATIENCE, TimeUnit.SECONDS), true, "a second reader");
    theirs.readLock().release();
    expect(theirs.writeLock().acquire(300, TimeUnit.MILLISECONDS), false, "a writer beside a reader");
    mine.readLock().release();
    expect(theirs.writeLock().acquire(PATIENCE, TimeUnit.SECONDS), true, "a writer alone");
    expect(mine.readLock().acquire(300, TimeUnit.MILLISECONDS), false, "a reader beside a writer");
    expect(theirs.readLock().acquire(PATIENCE, TimeUnit.SECONDS), true, "the writer reads");
    theirs.readLock().release();
    theirs.writeLock().release();
    expect(mine.readLock().acquire(PATIENCE, TimeUnit.SECONDS), true, "a reader after the writer");
    mine.readLock().release();
  }

  private static void semaphore() throws Exception {
    var mine = new InterProcessSemaphoreV2(one, "/semaphore", 2);
    var theirs = new InterProcessSemaphoreV2(two, "/semaphore", 2);
    Lease first = mine.acquire(PATIENCE, TimeUnit.SECONDS);
    Lease second = theirs.acquire(PATIENCE, TimeUnit.SECONDS);
    expect(first != null && second != null, true, "two leases");
    expect(theirs.acquire(300, TimeUnit.MILLISECONDS) == null, true, "a third is refused");
    first.close();
    Lease third = theirs.acquire(PATIENCE, TimeUnit.SECONDS);
    expect(third != null, true, "a third after one came back");
    second.close();
    third.close();
  }

  private static void leaderLatch() throws Exception {
    var mine = new LeaderLatch(one, "/latch", "one");
    var theirs = new LeaderLatch(two, "/latch", "two");
    mine.start();
    expect(mine.await(PATIENCE, TimeUnit.SECONDS), true, "the first leads");
    theirs.start();
    await("both take part", () -> mine.getParticipants().size() == 2);
    expect(theirs.hasLeadership(), false, "the second leads");
    expect(theirs.getLeader().getId(), "one", "leader");
    mine.close();
    expect(theirs.await(PATIENCE, TimeUnit.SECONDS), true, "the second leads then");
    expect(theirs.getLeader().getId(), "two", "leader");
    theirs.close();
  }

  private static void leaderSelector() throws Exception {
    var terms = new AtomicInteger();
    var inside = new AtomicInteger();
    var overlaps = new AtomicInteger();
    var selectors = new ArrayList<LeaderSelector>();
    for (var client : List.of(one, two)) {
      var selector = new LeaderSelector(client, "/selector", new LeaderSelectorListenerAdapter() {
        @Override
        public void takeLeadership(CuratorFramework leader) throws Exception {
          if (inside.incrementAndGet() != 1) {
            overlaps.incrementAndGet();
          }
          terms.incrementAndGet();
          Thread.sleep(10);
          inside.decrementAndGet();
        }
      });
      selector.autoRequeue();
      selector.start();
      selectors.add(selector);
    }
    await("six terms", () -> terms.get() >= 6);
    selectors.forEach(LeaderSelector::close);
    expect(overlaps.get(), 0, "terms of two leaders at once");
  }

  private static void barrier() throws Exception {
    var mine = new DistributedBarrier(one, "/barrier");
    var theirs = new DistributedBarrier(two, "/barrier");
    mine.setBarrier();
    expect(theirs.waitOnBarrier(300, TimeUnit.MILLISECONDS), false, "through a closed barrier");
    var through = THREADS.submit(() -> theirs.waitOnBarrier(PATIENCE, TimeUnit.SECONDS));
    mine.removeBarrier();
    expect(through.get(), true, "through an open barrier");
  }

  private static void doubleBarrier() throws Exception {
    var inside = new AtomicInteger();
    var ends = new ArrayList<Future<?>>();
    for (var client : List.of(one, two, one)) {
      ends.add(THREADS.submit(() -> {
        var barrier = new DistributedDoubleBarrier(client, "/double", 3);
        inside.incrementAndGet();
        expect(barrier.enter(PATIENCE, TimeUnit.SECONDS), true, "entered");
        expect(inside.get(), 3, "members at the entry");
        expect(barrier.leave(PATIENCE, TimeUnit.SECONDS), true, "left");
        return null;
      }));
    }
    for (var end : ends) {
      end.get(PATIENCE, TimeUnit.SECONDS);
    }
  }

  /** What a cache holds below its root. */
  private static Map<String, String> held(CuratorCache cache) {
    var held = new TreeMap<String, String>();
    cache.stream().forEach(data -> held.put(data.getPath(), text(data.getData())));
    return held;
  }

  private static void cache() throws Exception {
    one.create().creatingParentsIfNeeded().forPath("/cache/a", bytes("1"));
    var cache = CuratorCache.build(two, "/cache");
    var ready = new CountDownLatch(1);
    var heard = new CopyOnWriteArrayList<String>();
    cache.listenable().addListener(CuratorCacheListener.builder().forInitialized(ready::countDown)
        .forCreates(node -> heard.add("created " + node.getPath()))
        .forChanges((before, now) -> heard.add("changed " + now.getPath() + " " + text(now.getData())))
        .forDeletes(node -> heard.add("deleted " + node.getPath())).afterInitialized().build());
    cache.start();
    expect(ready.await(PATIENCE, TimeUnit.SECONDS), true, "initialised");
    expect(held(cache).keySet(), Set.of("/cache", "/cache/a"), "held at first");
    one.create().creatingParentsIfNeeded().forPath("/cache/b/c/d", bytes("2"));
    await("created nodes", () -> "2".equals(held(cache).get("/cache/b/c/d")));
    one.setData().forPath("/cache/a", bytes("3"));
    await("changed data", () -> "3".equals(held(cache).get("/cache/a")));
    one.delete().deletingChildrenIfNeeded().forPath("/cache/b");
    await("deleted nodes", () -> held(cache).keySet().equals(Set.of("/cache", "/cache/a")));
    await("all is told", () -> heard.containsAll(List.of("created /cache/b", "created /cache/b/c/d", "changed /cache/a 3",
        "deleted /cache/b/c/d", "deleted /cache/b")));
    cache.close();
  }

  private static void sharedCount() throws Exception {
    var mine = new SharedCount(one, "/count", 7);
    var theirs = new SharedCount(two, "/count", 0);
    mine.start();
    theirs.start();
    await("the second sees the first's value", () -> theirs.getCount() == 7);
    mine.setCount(8);
    await("and the change", () -> theirs.getCount() == 8);
    var old = theirs.getVersionedValue();
    expect(theirs.trySetCount(old, 9), true, "set of a known version");
    expect(mine.trySetCount(old, 10), false, "set of an old version");
    await("the first sees it", () -> mine.getCount() == 9);
    mine.close();
    theirs.close();
  }

  private static void atomicLong() throws Exception {
    var ends = new ArrayList<Future<?>>();
    for (var client : List.of(one, two)) {
      ends.add(THREADS.submit(() -> {
        var counter = new DistributedAtomicLong(client, "/atomic", new RetryNTimes(1000, 1));
        for (int round = 0; round < 25; round++) {
          expect(counter.increment().succeeded(), true, "increment");
        }
        return null;
      }));
    }
    for (var end : ends) {
      end.get(PATIENCE, TimeUnit.SECONDS);
    }
    var counter = new DistributedAtomicLong(one, "/atomic", new RetryNTimes(10, 1));
    expect(counter.get().postValue(), 50L, "sum");
    expect(counter.compareAndSet(50L, 1L).succeeded(), true, "compare and set");
    expect(counter.compareAndSet(50L, 2L).succeeded(), false, "compare with an old value");
  }

  private static void simpleQueue() throws Exception {
    var in = new SimpleDistributedQueue(one, "/simple");
    var out = new SimpleDistributedQueue(two, "/simple");
    var late = THREADS.submit(() -> text(out.poll(PATIENCE, TimeUnit.SECONDS)));
    in.offer(bytes("first"));
    expect(late.get(), "first", "taken");
    for (int n = 0; n < 20; n++) {
      in.offer(bytes("" + n));
    }
    expect(text(out.peek()), "0", "peeked");
    for (int n = 0; n < 20; n++) {
      expect(text(out.take()), "" + n, "taken");
    }
    expect(out.poll() == null, true, "empty");
  }

  private static void queue() throws Exception {
    BlockingQueue<String> taken = new LinkedBlockingQueue<>();
    var consumer = new QueueConsumer<String>() {
      @Override
      public void consumeMessage(String message) {
        taken.add(message);
      }

      @Override
      public void stateChanged(CuratorFramework client, ConnectionState state) {}
    };
    var serializer = new QueueSerializer<String>() {
      @Override
      public byte[] serialize(String item) {
        return bytes(item);
      }

      @Override
      public String deserialize(byte[] data) {
        return text(data);
      }
    };
    DistributedQueue<String> out = QueueBuilder.builder(two, consumer, serializer, "/queue").lockPath("/queue-lock").buildQueue();
    DistributedQueue<String> in = QueueBuilder.builder(one, null, serializer, "/queue").buildQueue();
    out.start();
    in.start();
    for (int n = 0; n < 20; n++) {
      in.put("" + n);
    }
    expect(in.flushPuts(PATIENCE, TimeUnit.SECONDS), true, "all were put");
    for (int n = 0; n < 20; n++) {
      expect(taken.poll(PATIENCE, TimeUnit.SECONDS), "" + n, "taken");
    }
    in.close();
    out.close();
  }

  private static void transaction() throws Exception {
    one.create().forPath("/tx", bytes("0"));
    List<CuratorTransactionResult> results = one.transaction().forOperations(
        one.transactionOp().check().withVersion(0).forPath("/tx"),
        one.transactionOp().create().withMode(CreateMode.PERSISTENT_SEQUENTIAL).forPath("/tx/n-", bytes("x")),
        one.transactionOp().setData().withVersion(0).forPath("/tx", bytes("1")));
    expect(results.get(1).getResultPath(), "/tx/n-0000000000", "created");
    expect(results.get(2).getResultStat().getVersion(), 1, "version");
    try {
      one.transaction().forOperations(one.transactionOp().delete().forPath("/tx/n-0000000000"),
          one.transactionOp().create().forPath("/tx/other"), one.transactionOp().check().withVersion(0).forPath("/tx"));
      throw new AssertionError("a failing check let the transaction through");
    } catch (KeeperException.BadVersionException error) {
      var codes = error.getResults().stream().map(r -> ((org.apache.zookeeper.OpResult.ErrorResult) r).getErr()).toList();
      expect(codes, List.of(0, 0, KeeperException.Code.BADVERSION.intValue()), "codes");
    }
    expect(one.getChildren().forPath("/tx"), List.of("n-0000000000"), "children");
    expect(text(one.getData().forPath("/tx")), "1", "data");
  }

  private static void ttlAndContainer() throws Exception {
    var stat = new Stat();
    one.create().withTtl(500).storingStatIn(stat).withMode(CreateMode.PERSISTENT_WITH_TTL).forPath("/ttl");
    expect(stat.getEphemeralOwner(), 0L, "owner");
    one.create().withMode(CreateMode.CONTAINER).forPath("/container");
    one.create().forPath("/container/x");
    one.delete().forPath("/container/x");
    one.create().creatingParentContainersIfNeeded().forPath("/parents/are/containers");
    one.delete().forPath("/parents/are/containers");
    for (var path : List.of("/ttl", "/container", "/parents")) {
      await(path + " goes", () -> two.checkExists().forPath(path) == null);
    }
  }

  private static void ttlNodeIsKept() throws Exception {
    var node = new PersistentTtlNode(one, "/touched", 3000, bytes("here"));
    node.start();
    expect(node.waitForInitialCreate(PATIENCE, TimeUnit.SECONDS), true, "created");
    for (int n = 0; n < 12; n++) {
      Thread.sleep(500);
      expect(two.checkExists().forPath("/touched") != null, true, "it is there");
    }
    node.close();
    await("it goes when nobody touches it", () -> two.checkExists().forPath("/touched") == null);
  }

  private static void recursiveWatch() throws Exception {
    var heard = new CopyOnWriteArrayList<String>();
    Watcher watcher = event -> heard.add(event.getType() + " " + event.getPath());
    two.watchers().add().withMode(AddWatchMode.PERSISTENT_RECURSIVE).usingWatcher(watcher).forPath("/deep");
    one.create().creatingParentsIfNeeded().forPath("/deep/a/b");
    one.setData().forPath("/deep/a", bytes("x"));
    one.delete().forPath("/deep/a/b");
    one.delete().forPath("/deep/a");
    var wanted = List.of("NodeCreated /deep", "NodeCreated /deep/a", "NodeCreated /deep/a/b", "NodeDataChanged /deep/a",
        "NodeDeleted /deep/a/b", "NodeDeleted /deep/a");
    await("all is heard", () -> heard.size() >= wanted.size());
    expect(heard, wanted, "heard");
    two.watchers().remove(watcher).forPath("/deep");
    one.create().forPath("/deep/c");
    two.sync().forPath("/deep");
    two.checkExists().forPath("/deep/c");
    expect(heard.stream().filter(event -> event.startsWith("NodeCreated")).count(), 3L, "created nodes heard of");
  }

  private static void persistentWatch() throws Exception {
    var heard = new CopyOnWriteArrayList<String>();
    one.create().forPath("/flat");
    two.watchers().add().withMode(AddWatchMode.PERSISTENT).usingWatcher((Watcher) event -> heard.add(event.getType().name()))
        .forPath("/flat");
    one.setData().forPath("/flat", bytes("1"));
    one.setData().forPath("/flat", bytes("2"));
    one.create().forPath("/flat/x");
    one.create().forPath("/flat/x/y");
    one.delete().deletingChildrenIfNeeded().forPath("/flat");
    one.create().forPath("/flat");
    var wanted = List.of("NodeDataChanged", "NodeDataChanged", "NodeChildrenChanged", "NodeChildrenChanged", "NodeDeleted", "NodeCreated");
    await("all is heard", () -> heard.size() >= wanted.size());
    expect(heard, wanted, "heard");
  }

  private static void groupMember() throws Exception {
    var mine = new GroupMember(one, "/group", "one", bytes("1"));
    var theirs = new GroupMember(two, "/group", "two", bytes("2"));
    mine.start();
    theirs.start();
    await("both see both", () -> mine.getCurrentMembers().size() == 2 && theirs.getCurrentMembers().size() == 2);
    theirs.close();
    await("one is left", () -> mine.getCurrentMembers().keySet().equals(Set.of("one")));
    mine.close();
  }

  private static void acl() throws Exception {
    var known = CuratorFrameworkFactory.builder().connectString(server).sessionTimeoutMs(SESSION_MS)
        .retryPolicy(new RetryForever(100)).authorization("digest", bytes("u:p")).build();
    known.start();
    known.create().withACL(ZooDefs.Ids.CREATOR_ALL_ACL).forPath("/mine", bytes("secret"));
    var wanted = List.of(new ACL(ZooDefs.Perms.ALL, new Id("digest", "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=")));
    expect(known.getACL().forPath("/mine"), wanted, "entries");
    try {
      two.getData().forPath("/mine");
      throw new AssertionError("a stranger reads");
    } catch (KeeperException.NoAuthException expected) {
      known.setACL().withACL(ZooDefs.Ids.READ_ACL_UNSAFE).forPath("/mine");
    }
    expect(text(two.getData().forPath("/mine")), "secret", "data");
    known.close();
  }

  private static void backgroundAndProtected() throws Exception {
    var paths = Collections.newSetFromMap(new ConcurrentHashMap<String, Boolean>());
    var done = new CountDownLatch(200);
    one.create().forPath("/many");
    for (int n = 0; n < 200; n++) {
      one.create().withProtection().withMode(CreateMode.EPHEMERAL_SEQUENTIAL).inBackground((client, event) -> {
        paths.add(event.getName().substring(event.getName().length() - 10));
        done.countDown();
      }).forPath("/many/n-");
    }
    expect(done.await(PATIENCE, TimeUnit.SECONDS), true, "all answered");
    expect(paths.size(), 200, "different numbers");
    expect(two.checkExists().forPath("/many").getNumChildren(), 200, "children");
  }

  /** The session outlives the server, and so does its node; deleted by another, the node comes back. */
  private static void persistentNode(String end) throws Exception {
    var path = "/persistent-" + end;
    var node = new PersistentNode(one, CreateMode.EPHEMERAL, false, path, bytes("here"));
    node.start();
    expect(node.waitForInitialCreate(PATIENCE, TimeUnit.SECONDS), true, "created");
    var session = one.getZookeeperClient().getZooKeeper().getSessionId();
    var before = two.checkExists().forPath(path);
    expect(before.getEphemeralOwner(), session, "owner");
    control(end);
    control("start");
    var after = two.checkExists().forPath(path);
    // The recipe may have set its data again: it does whenever it is connected anew.
    expect(after.getCzxid(), before.getCzxid(), "the transaction that made the node");
    expect(after.getEphemeralOwner(), session, "owner after the restart");
    expect(text(one.getData().forPath(path)), "here", "data");
    expect(one.getZookeeperClient().getZooKeeper().getSessionId(), session, "session");
    two.delete().forPath(path);
    await("it comes back", () -> two.checkExists().forPath(path) != null);
    node.close();
    await("it goes", () -> two.checkExists().forPath(path) == null);
  }

  private static void cacheAfterKill() throws Exception {
    one.create().forPath("/late");
    var cache = CuratorCache.build(two, "/late");
    cache.start();
    await("held", () -> held(cache).containsKey("/late"));
    control("kill");
    control("start");
    one.create().forPath("/late/x", bytes("new"));
    await("what is new after the restart", () -> "new".equals(held(cache).get("/late/x")));
    one.delete().forPath("/late/x");
    await("what went after the restart", () -> !held(cache).containsKey("/late/x"));
    cache.close();
  }

  /** Curator gives leadership up while it is cut off; afterwards there is one leader again. */
  private static void leaderAfterKill() throws Exception {
    var mine = new LeaderLatch(one, "/latch-kill", "one");
    var theirs = new LeaderLatch(two, "/latch-kill", "two");
    mine.start();
    theirs.start();
    await("somebody leads", () -> mine.hasLeadership() || theirs.hasLeadership());
    control("kill");
    await("nobody leads", () -> !mine.hasLeadership() && !theirs.hasLeadership());
    control("start");
    await("one leads", () -> mine.hasLeadership() != theirs.hasLeadership());
    mine.close();
    expect(theirs.await(PATIENCE, TimeUnit.SECONDS), true, "the other leads then");
    theirs.close();
  }
}
