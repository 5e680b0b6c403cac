import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Judges a broker with Kafka's own Java client: {@code JavaClient STEP BOOTSTRAP [ARGUMENT...]}.
 *
 * <p>The steps, the records and the output are those of {@code confluent.py}, which describes them.
 */
public final class JavaClient {
  private static final List<String> CODECS = List.of("none", "gzip", "snappy", "lz4", "zstd");
  private static final int RECORDS = 300;
  private static final long PATIENCE = 60;
  private static final String ME = "java";
  private static String bootstrap;

  interface Body {
    void run() throws Exception;
  }

  interface Condition {
    boolean holds() throws Exception;
  }

  public static void main(String[] args) throws Exception {
    bootstrap = args[1];
    switch (args[0]) {
      case "admin" -> admin();
      case "produce" -> produce();
      case "read" -> read(args[2]);
      case "group" -> group();
      case "commit" -> commit();
      case "resume" -> resume(Integer.parseInt(args[2]));
      default -> throw new IllegalArgumentException("no step " + args[0]);
    }
  }

  private static void test(String name, Body body) {
    try {
      body.run();
      System.out.println("ok " + ME + " " + name);
    } catch (Exception | AssertionError error) {
      var at = Arrays.stream(error.getStackTrace()).filter(f -> f.getClassName().startsWith("JavaClient")).findFirst();
      var line = at.map(f -> " in line " + f.getLineNumber()).orElse("");
      System.out.println("FAILED " + ME + " " + name + ": " + error.getClass().getSimpleName() + line + ": " + error.getMessage());
    }
  }

  private static void expect(Object found, Object wanted, String what) {
    if (!wanted.equals(found)) {
      throw new AssertionError(what + ": found " + found + ", expected " + wanted);
    }
  }

  private static void await(Condition condition, String what) throws Exception {
    long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE);
    while (!condition.holds()) {
      if (System.nanoTime() > end) {
        throw new AssertionError(what + ": not within " + PATIENCE + " s");
      }
      Thread.sleep(20);
    }
  }

  private static String key(int i) {
    return "key-" + i;
  }

  private static String value(int i) {
    return "value-" + i + " " + "x".repeat(i % 50 * 20);
  }

  private static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  private static String text(byte[] bytes) {
    return bytes == null ? null : new String(bytes, StandardCharsets.UTF_8);
  }

  private static Admin adminClient() {
    return Admin.create(Map.of("bootstrap.servers", bootstrap));
  }

  private static void create(Admin admin, String topic, int partitions) throws Exception {
    admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1))).all().get(PATIENCE, TimeUnit.SECONDS);
    await(() -> {
      try {
        var found = describe(admin, topic).partitions();
        return found.size() == partitions && found.stream().allMatch(p -> p.leader() != null);
      } catch (ExecutionException error) {
        if (error.getCause() instanceof UnknownTopicOrPartitionException) {
          return false;
        }
        throw error;
      }
    }, topic + " has leaders");
  }

  private static void create(String topic, int partitions) throws Exception {
    try (var admin = adminClient()) {
      create(admin, topic, partitions);
    }
  }

  private static TopicDescription describe(Admin admin, String topic) throws Exception {
    return admin.describeTopics(List.of(topic)).allTopicNames().get(PATIENCE, TimeUnit.SECONDS).get(topic);
  }

  private static void write(String topic, int first, int last, String codec, int partition) throws Exception {
    Map<String, Object> config = Map.of(
        "bootstrap.servers", bootstrap, "compression.type", codec, "enable.idempotence", true, "acks", "all",
        "linger.ms", 20, "key.serializer", ByteArraySerializer.class, "value.serializer", ByteArraySerializer.class);
    try (var producer = new KafkaProducer<byte[], byte[]>(config)) {
      List<Future<RecordMetadata>> sent = new ArrayList<>();
      for (int i = first; i < last; i++) {
        var record = new ProducerRecord<>(topic, partition, bytes(key(i)), bytes(value(i)));
        record.headers().add("writer", bytes(ME)).add("empty", new byte[0]);
        sent.add(producer.send(record));
      }
      for (var record : sent) {
        record.get(PATIENCE, TimeUnit.SECONDS);
      }
    }
  }

  private static KafkaConsumer<byte[], byte[]> consumer(String group) {
    Map<String, Object> config = new HashMap<>(Map.of(
        "bootstrap.servers", bootstrap, "auto.offset.reset", "earliest", "enable.auto.commit", false,
        "session.timeout.ms", 10000, "heartbeat.interval.ms", 1000,
        "key.deserializer", ByteArrayDeserializer.class, "value.deserializer", ByteArrayDeserializer.class));
    if (group != null) {
      config.put("group.id", group);
    }
    return new KafkaConsumer<>(config);
  }

  private static boolean collect(KafkaConsumer<byte[], byte[]> reader, List<ConsumerRecord<byte[], byte[]>> found) {
    reader.poll(Duration.ofMillis(100)).forEach(found::add);
    return true;
  }

  private static void checkRecords(String topic, String writer) throws Exception {
    try (var reader = consumer(null)) {
      var partition = new TopicPartition(topic, 0);
      expect(reader.endOffsets(List.of(partition)).get(partition), (long) RECORDS, "end of the log");
      reader.assign(List.of(partition));
      reader.seekToBeginning(List.of(partition));
      List<ConsumerRecord<byte[], byte[]>> found = new ArrayList<>();
      await(() -> collect(reader, found) && found.size() >= RECORDS, RECORDS + " records");
      for (int i = 0; i < found.size(); i++) {
        var record = found.get(i);
        expect(record.offset(), (long) i, "offset");
        expect(text(record.key()), key(i), "key");
        expect(text(record.value()), value(i), "value");
        var header = record.headers().lastHeader("writer");
        expect(header == null ? null : text(header.value()), writer, "header");
      }
    }
  }

  private static void admin() {
    String topic = ME + "-admin";
    test("creates and describes a topic", () -> {
      try (var admin = adminClient()) {
        create(admin, topic, 3);
        var ids = describe(admin, topic).partitions().stream().map(p -> p.partition()).collect(Collectors.toList());
        expect(ids, List.of(0, 1, 2), "partitions");
      }
    });
    test("is refused a second topic of the same name", () -> refused(TopicExistsException.class, admin ->
        admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all().get(PATIENCE, TimeUnit.SECONDS)));
    test("deletes a topic", () -> {
      try (var admin = adminClient()) {
        admin.deleteTopics(List.of(topic)).all().get(PATIENCE, TimeUnit.SECONDS);
        await(() -> !admin.listTopics().names().get(PATIENCE, TimeUnit.SECONDS).contains(topic), "the topic is gone");
      }
      refused(UnknownTopicOrPartitionException.class, admin ->
          admin.deleteTopics(List.of(topic)).all().get(PATIENCE, TimeUnit.SECONDS));
    });
  }

  interface Request {
    void send(Admin admin) throws Exception;
  }

  private static void refused(Class<?> wanted, Request request) throws Exception {
    try (var admin = adminClient()) {
      request.send(admin);
    } catch (ExecutionException error) {
      expect(error.getCause().getClass(), wanted, "error");
      return;
    }
    throw new AssertionError("the request was not refused");
  }

  private static void produce() {
    for (String codec : CODECS) {
      test("produces with " + codec, () -> {
        create(ME + "-" + codec, 1);
        write(ME + "-" + codec, 0, RECORDS, codec, 0);
      });
    }
  }

  private static void read(String writer) {
    for (String codec : CODECS) {
      test("reads what " + writer + " wrote with " + codec, () -> checkRecords(writer + "-" + codec, writer));
    }
  }

  private static Set<Integer> owned(KafkaConsumer<byte[], byte[]> reader) {
    return reader.assignment().stream().map(TopicPartition::partition).collect(Collectors.toSet());
  }

  private static void group() {
    String topic = ME + "-group";
    test("shares a topic in a group with a late joiner", () -> {
      create(topic, 4);
      var all = Set.of(0, 1, 2, 3);
      List<ConsumerRecord<byte[], byte[]>> found = new ArrayList<>();
      try (var first = consumer(topic)) {
        first.subscribe(List.of(topic));
        await(() -> collect(first, found) && owned(first).equals(all), "the first member has all partitions");
        try (var second = consumer(topic)) {
          second.subscribe(List.of(topic));
          await(() -> {
            collect(first, found);
            collect(second, found);
            Set<Integer> both = new HashSet<>(owned(first));
            both.addAll(owned(second));
            return owned(first).size() == 2 && owned(second).size() == 2 && both.equals(all);
          }, "two partitions for each member");
          for (int partition = 0; partition < 4; partition++) {
            write(topic, partition * 50, partition * 50 + 50, "none", partition);
          }
          List<ConsumerRecord<byte[], byte[]>> of2 = new ArrayList<>();
          await(() -> collect(first, found) && collect(second, of2) && found.size() + of2.size() >= 200, "200 records");
          expect(partitions(found), owned(first), "partitions of the first member's records");
          expect(partitions(of2), owned(second), "partitions of the second member's records");
          found.addAll(of2);
          expect(keys(found), expectedKeys(200), "records of both");
          first.commitSync();
          second.commitSync();
        }
        await(() -> collect(first, found) && owned(first).equals(all), "the first member has all partitions again");
        write(topic, 200, 240, "none", 3);
        await(() -> collect(first, found) && found.size() >= 240, "40 more records");
        expect(keys(found), expectedKeys(240), "records after the leave");
      }
    });
  }

  private static Set<Integer> partitions(List<ConsumerRecord<byte[], byte[]>> records) {
    return records.stream().map(ConsumerRecord::partition).collect(Collectors.toSet());
  }

  private static List<String> keys(List<ConsumerRecord<byte[], byte[]>> records) {
    return records.stream().map(r -> text(r.key())).sorted().collect(Collectors.toList());
  }

  private static List<String> expectedKeys(int n) {
    return IntStream.range(0, n).mapToObj(JavaClient::key).sorted().collect(Collectors.toList());
  }

  private static List<Long> committed(KafkaConsumer<byte[], byte[]> reader, String topic) {
    var both = IntStream.range(0, 2).mapToObj(p -> new TopicPartition(topic, p)).collect(Collectors.toList());
    var found = reader.committed(new HashSet<>(both), Duration.ofSeconds(PATIENCE));
    return both.stream().map(p -> found.get(p) == null ? -1 : found.get(p).offset()).collect(Collectors.toList());
  }

  private static void commitTo(KafkaConsumer<byte[], byte[]> reader, String topic, long zero, long one) {
    reader.commitSync(Map.of(
        new TopicPartition(topic, 0), new OffsetAndMetadata(zero), new TopicPartition(topic, 1), new OffsetAndMetadata(one)));
  }

  private static void commit() {
    String topic = ME + "-commit";
    test("commits offsets", () -> {
      create(topic, 2);
      write(topic, 0, 50, "lz4", 0);
      write(topic, 50, 100, "lz4", 1);
      try (var reader = consumer(topic)) {
        reader.subscribe(List.of(topic));
        List<ConsumerRecord<byte[], byte[]>> found = new ArrayList<>();
        await(() -> collect(reader, found) && found.size() >= 100, "100 records");
        commitTo(reader, topic, 30, 20);
        expect(committed(reader, topic), List.of(30L, 20L), "committed offsets");
      }
    });
  }

  private static void resume(int n) {
    String topic = ME + "-commit";
    // Each restart adds ten records to each partition and moves both commits to the end but five.
    long end = 50 + 10 * (n - 1);
    List<Long> wanted = n == 1 ? List.of(30L, 20L) : List.of(end - 5, end - 5);
    test("resumes after restart " + n + " where it had committed", () -> {
      try (var reader = consumer(topic)) {
        expect(committed(reader, topic), wanted, "committed offsets");
        reader.subscribe(List.of(topic));
        List<ConsumerRecord<byte[], byte[]>> found = new ArrayList<>();
        long rest = 2 * end - wanted.get(0) - wanted.get(1);
        await(() -> collect(reader, found) && found.size() >= rest, rest + " records");
        for (int partition = 0; partition < 2; partition++) {
          int p = partition;
          var offsets = found.stream().filter(r -> r.partition() == p).map(ConsumerRecord::offset).collect(Collectors.toList());
          List<Long> all = IntStream.range(wanted.get(p).intValue(), (int) end).mapToObj(Long::valueOf).collect(Collectors.toList());
          expect(offsets, all, "offsets of partition " + p);
        }
        write(topic, 1000, 1010, "none", 0);
        write(topic, 1000, 1010, "none", 1);
        await(() -> collect(reader, found) && found.size() >= rest + 20, "20 new records");
        commitTo(reader, topic, end + 5, end + 5);
      }
    });
  }
}
