/* Judges a ZooKeeper server with Apache's C client: client HOST:PORT
 *
 * Prints `ok NAME` or `FAILED NAME: reason` for each check. FK_ZK_CONTROL is a command that kills and starts the server.
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zookeeper/zookeeper.h>

enum { PATIENCE_S = 30, SESSION_MS = 20000, HEARD = 64 };

static const char *hosts;
static zhandle_t *zh;
static char reason[512];

/* What a watcher heard, in order. One connection has one watcher here. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t news;
    int count;
    int kind[HEARD];
    char path[HEARD][128];
    int connections;
    int connected;
} heard = {.lock = PTHREAD_MUTEX_INITIALIZER, .news = PTHREAD_COND_INITIALIZER};

static void watcher(zhandle_t *from, int type, int state, const char *path, void *context)
{
    (void)from, (void)context;
    pthread_mutex_lock(&heard.lock);
    if (type == ZOO_SESSION_EVENT) {
        heard.connected = state == ZOO_CONNECTED_STATE;
        heard.connections += heard.connected;
    } else if (heard.count < HEARD) {
        heard.kind[heard.count] = type;
        snprintf(heard.path[heard.count++], sizeof heard.path[0], "%s", path);
    }
    pthread_cond_broadcast(&heard.news);
    pthread_mutex_unlock(&heard.lock);
}

static struct timespec deadline(void)
{
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += PATIENCE_S;
    return end;
}

/* Waits until `*counter` is at least `wanted`. */
static int await(const int *counter, int wanted)
{
    struct timespec end = deadline();
    int late = 0;
    pthread_mutex_lock(&heard.lock);
    while (*counter < wanted && !late)
        late = pthread_cond_timedwait(&heard.news, &heard.lock, &end) != 0;
    int enough = *counter >= wanted;
    pthread_mutex_unlock(&heard.lock);
    return enough;
}

static int fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    return 0;
}

#define EXPECT(found, wanted)                                                                                          \
    do {                                                                                                               \
        long long f_ = (found), w_ = (wanted);                                                                         \
        if (f_ != w_)                                                                                                  \
            return fail("line %d: %s is %lld, expected %lld", __LINE__, #found, f_, w_);                               \
    } while (0)
#define EXPECT_TEXT(found, wanted)                                                                                     \
    do {                                                                                                               \
        if (strcmp((found), (wanted)) != 0)                                                                            \
            return fail("line %d: %s is \"%s\", expected \"%s\"", __LINE__, #found, (found), (wanted));                \
    } while (0)
/* The n-th notification, counted from 0, is this one. */
#define EXPECT_EVENT(n, type, where)                                                                                   \
    do {                                                                                                               \
        if (!await(&heard.count, (n) + 1))                                                                             \
            return fail("line %d: notification %d did not come", __LINE__, (n));                                       \
        EXPECT(heard.kind[n], type);                                                                                   \
        EXPECT_TEXT(heard.path[n], where);                                                                             \
    } while (0)

static void forget(void)
{
    pthread_mutex_lock(&heard.lock);
    heard.count = 0;
    pthread_mutex_unlock(&heard.lock);
}

static int create(const char *path, const char *value, int mode)
{
    return zoo_create(zh, path, value, value ? (int)strlen(value) : -1, &ZOO_OPEN_ACL_UNSAFE, mode, NULL, 0);
}

static int connects(void)
{
    zh = zookeeper_init(hosts, watcher, SESSION_MS, NULL, NULL, 0);
    EXPECT(zh != NULL, 1);
    EXPECT(await(&heard.connections, 1), 1);
    EXPECT(zoo_state(zh), ZOO_CONNECTED_STATE);
    EXPECT(zoo_client_id(zh)->client_id != 0, 1);
    EXPECT(zoo_recv_timeout(zh), SESSION_MS);
    return 1;
}

static int creates_reads_writes_deletes(void)
{
    char name[64], data[64];
    int length = sizeof data;
    struct Stat stat, later;
    EXPECT(zoo_create2(zh, "/c", "one", 3, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT, name, sizeof name, &stat), ZOK);
    EXPECT_TEXT(name, "/c");
    EXPECT(stat.version, 0);
    EXPECT(stat.dataLength, 3);
    EXPECT(create("/c", "two", ZOO_PERSISTENT), ZNODEEXISTS);
    EXPECT(create("/none/c", "two", ZOO_PERSISTENT), ZNONODE);
    EXPECT(zoo_get(zh, "/c", 0, data, &length, &later), ZOK);
    EXPECT(length, 3);
    EXPECT(memcmp(data, "one", 3), 0);
    EXPECT(later.czxid, stat.czxid);
    EXPECT(zoo_set2(zh, "/c", "longer", 6, 0, &later), ZOK);
    EXPECT(later.version, 1);
    EXPECT(later.mzxid > stat.mzxid, 1);
    EXPECT(zoo_set(zh, "/c", "x", 1, 0), ZBADVERSION);
    EXPECT(create("/c/null", NULL, ZOO_PERSISTENT), ZOK);
    length = sizeof data;
    EXPECT(zoo_get(zh, "/c/null", 0, data, &length, NULL), ZOK);
    EXPECT(length, -1);
    EXPECT(zoo_delete(zh, "/c", -1), ZNOTEMPTY);
    EXPECT(zoo_delete(zh, "/c/null", 7), ZBADVERSION);
    EXPECT(zoo_delete(zh, "/c/null", 0), ZOK);
    EXPECT(zoo_exists(zh, "/c/null", 0, &stat), ZNONODE);
    EXPECT(zoo_exists(zh, "/c", 0, &stat), ZOK);
    EXPECT(stat.cversion, 2);
    EXPECT(stat.numChildren, 0);
    return 1;
}

static int numbers_children(void)
{
    char name[64];
    struct String_vector children;
    struct Stat stat;
    EXPECT(zoo_create(zh, "/c/n-", "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT_SEQUENTIAL, name, sizeof name), ZOK);
    EXPECT_TEXT(name, "/c/n-0000000001");
    EXPECT(zoo_create(zh, "/c/n-", "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL_SEQUENTIAL, name, sizeof name), ZOK);
    EXPECT_TEXT(name, "/c/n-0000000002");
    EXPECT(zoo_create(zh, "/c/n-0000000002/x", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0), ZNOCHILDRENFOREPHEMERALS);
    EXPECT(zoo_get_children2(zh, "/c", 0, &children, &stat), ZOK);
    EXPECT(children.count, 2);
    EXPECT(stat.numChildren, 2);
    deallocate_String_vector(&children);
    EXPECT(zoo_exists(zh, "/c/n-0000000002", 0, &stat), ZOK);
    EXPECT(stat.ephemeralOwner, zoo_client_id(zh)->client_id);
    return 1;
}

static int watches_fire_once(void)
{
    struct Stat stat;
    struct String_vector children;
    char data[8];
    int length = sizeof data;
    forget();
    EXPECT(zoo_exists(zh, "/w", 1, &stat), ZNONODE);
    EXPECT(create("/w", "", ZOO_PERSISTENT), ZOK);
    EXPECT_EVENT(0, ZOO_CREATED_EVENT, "/w");
    EXPECT(zoo_get(zh, "/w", 1, data, &length, NULL), ZOK);
    EXPECT(zoo_get_children(zh, "/w", 1, &children), ZOK);
    deallocate_String_vector(&children);
    EXPECT(zoo_set(zh, "/w", "1", 1, -1), ZOK);
    EXPECT_EVENT(1, ZOO_CHANGED_EVENT, "/w");
    EXPECT(zoo_set(zh, "/w", "2", 1, -1), ZOK);
    EXPECT(create("/w/child", "", ZOO_PERSISTENT), ZOK);
    EXPECT_EVENT(2, ZOO_CHILD_EVENT, "/w");
    EXPECT(zoo_exists(zh, "/w/child", 1, &stat), ZOK);
    EXPECT(zoo_delete(zh, "/w/child", -1), ZOK);
    EXPECT_EVENT(3, ZOO_DELETED_EVENT, "/w/child");
    EXPECT(heard.count, 4);
    return 1;
}

static int watches_are_removed(void)
{
    struct Stat stat;
    forget();
    EXPECT(zoo_remove_watches(zh, "/w", ZWATCHTYPE_DATA, watcher, NULL, 0), ZNOWATCHER);
    EXPECT(zoo_wexists(zh, "/w", watcher, NULL, &stat), ZOK);
    EXPECT(zoo_remove_watches(zh, "/w", ZWATCHTYPE_DATA, watcher, NULL, 0), ZOK);
    EXPECT(zoo_set(zh, "/w", "3", 1, -1), ZOK);
    EXPECT(zoo_exists(zh, "/w", 0, &stat), ZOK);
    for (int n = 0; n < heard.count; n++)
        EXPECT(heard.kind[n] == ZOO_CHANGED_EVENT, 0);
    return 1;
}

static int multi_is_all_or_nothing(void)
{
    zoo_op_t ops[4];
    zoo_op_result_t results[4];
    struct Stat stat;
    char name[64];
    zoo_create_op_init(&ops[0], "/m", "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT, name, sizeof name);
    zoo_set_op_init(&ops[1], "/m", "v", 1, 0, &stat);
    zoo_check_op_init(&ops[2], "/m", 5);
    zoo_delete_op_init(&ops[3], "/m", -1);
    EXPECT(zoo_multi(zh, 4, ops, results), ZBADVERSION);
    EXPECT(results[0].err, ZOK);
    EXPECT(results[1].err, ZOK);
    EXPECT(results[2].err, ZBADVERSION);
    EXPECT(results[3].err, ZRUNTIMEINCONSISTENCY);
    EXPECT(zoo_exists(zh, "/m", 0, &stat), ZNONODE);
    zoo_check_op_init(&ops[2], "/m", 1);
    EXPECT(zoo_multi(zh, 3, ops, results), ZOK);
    EXPECT_TEXT(name, "/m");
    EXPECT(stat.version, 1);
    EXPECT(zoo_multi(zh, 1, &ops[3], results), ZOK);
    EXPECT(zoo_exists(zh, "/m", 0, &stat), ZNONODE);
    return 1;
}

static void proved(int code, const void *data)
{
    pthread_mutex_lock(&heard.lock);
    *(int *)data = code == ZOK ? 1 : 2;
    pthread_cond_broadcast(&heard.news);
    pthread_mutex_unlock(&heard.lock);
}

static int lists_protect(void)
{
    struct ACL_vector found;
    struct Stat stat;
    int proof = 0, length = 8;
    char data[8];
    zhandle_t *stranger;
    EXPECT(zoo_add_auth(zh, "digest", "u:p", 3, proved, &proof), ZOK);
    EXPECT(await(&proof, 1), 1);
    EXPECT(proof, 1);
    EXPECT(zoo_create(zh, "/acl", "s", 1, &ZOO_CREATOR_ALL_ACL, ZOO_PERSISTENT, NULL, 0), ZOK);
    EXPECT(zoo_get_acl(zh, "/acl", &found, &stat), ZOK);
    EXPECT(found.count, 1);
    EXPECT(found.data[0].perms, ZOO_PERM_ALL);
    EXPECT_TEXT(found.data[0].id.scheme, "digest");
    EXPECT_TEXT(found.data[0].id.id, "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=");
    deallocate_ACL_vector(&found);
    int before = heard.connections;
    stranger = zookeeper_init(hosts, watcher, SESSION_MS, NULL, NULL, 0);
    EXPECT(await(&heard.connections, before + 1), 1);
    EXPECT(zoo_get(stranger, "/acl", 0, data, &length, NULL), ZNOAUTH);
    EXPECT(zoo_set_acl(zh, "/acl", 0, &ZOO_READ_ACL_UNSAFE), ZOK);
    length = sizeof data;
    EXPECT(zoo_get(stranger, "/acl", 0, data, &length, NULL), ZOK);
    EXPECT(zoo_set(stranger, "/acl", "x", 1, -1), ZNOAUTH);
    EXPECT(zookeeper_close(stranger), ZOK);
    return 1;
}

static void synced(int code, const char *path, const void *data)
{
    (void)path;
    proved(code, data);
}

static int sync_and_configuration_answer(void)
{
    int done = 0, length;
    char data[512];
    EXPECT(zoo_async(zh, "/w", synced, &done), ZOK);
    EXPECT(await(&done, 1), 1);
    EXPECT(done, 1);
    length = sizeof data;
    EXPECT(zoo_getconfig(zh, 0, data, &length, NULL), ZOK);
    EXPECT(zoo_reconfig(zh, "server.2=127.0.0.1:1:2;3", NULL, NULL, -1, data, &length, NULL) != ZOK, 1);
    return 1;
}

static int nodes_go_with_time(void)
{
    struct Stat stat;
    EXPECT(zoo_create_ttl(zh, "/ttl", "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT_WITH_TTL, 500, NULL, 0), ZOK);
    EXPECT(create("/box", "", ZOO_CONTAINER), ZOK);
    EXPECT(create("/box/x", "", ZOO_PERSISTENT), ZOK);
    EXPECT(zoo_delete(zh, "/box/x", -1), ZOK);
    for (int tries = 0; tries < PATIENCE_S * 10; tries++, usleep(100000))
        if (zoo_exists(zh, "/ttl", 0, &stat) == ZNONODE && zoo_exists(zh, "/box", 0, &stat) == ZNONODE)
            return 1;
    return fail("/ttl or /box is still there");
}

static void counted(int code, const struct Stat *stat, const void *data)
{
    (void)stat;
    pthread_mutex_lock(&heard.lock);
    *(int *)data += code == ZOK ? 1 : 100000;
    pthread_cond_broadcast(&heard.news);
    pthread_mutex_unlock(&heard.lock);
}

static int a_thousand_in_flight(void)
{
    int answers = 0;
    struct Stat stat;
    EXPECT(create("/p", "", ZOO_PERSISTENT), ZOK);
    for (int n = 0; n < 1000; n++)
        EXPECT(zoo_aset(zh, "/p", "x", 1, n, counted, &answers), ZOK);
    EXPECT(await(&answers, 1000), 1);
    EXPECT(answers, 1000);
    EXPECT(zoo_exists(zh, "/p", 0, &stat), ZOK);
    EXPECT(stat.version, 1000);
    return 1;
}

static int control(const char *verb)
{
    char command[1024];
    snprintf(command, sizeof command, "\"$FK_ZK_CONTROL\" %s >&2", verb);
    return system(command);
}

static int session_outlives_the_server(const char *end)
{
    struct Stat stat;
    char data[8];
    int length = sizeof data;
    int64_t session = zoo_client_id(zh)->client_id;
    if (zoo_exists(zh, "/live", 0, &stat) == ZNONODE)
        EXPECT(create("/live", "", ZOO_EPHEMERAL), ZOK);
    EXPECT(zoo_set(zh, "/w", end, 1, -1), ZOK);
    forget();
    EXPECT(zoo_get(zh, "/w", 1, data, &length, NULL), ZOK);
    int before = heard.connections;
    EXPECT(control(end), 0);
    EXPECT(control("start"), 0);
    EXPECT(await(&heard.connections, before + 1), 1);
    EXPECT(zoo_client_id(zh)->client_id, session);
    EXPECT(zoo_exists(zh, "/live", 0, &stat), ZOK);
    EXPECT(stat.ephemeralOwner, session);
    EXPECT(zoo_exists(zh, "/p", 0, &stat), ZOK);
    EXPECT(stat.version, 1000);
    EXPECT(zoo_get(zh, "/acl", 0, data, &length, NULL), ZOK);
    EXPECT(zoo_set(zh, "/w", "new", 3, -1), ZOK);
    EXPECT_EVENT(0, ZOO_CHANGED_EVENT, "/w");
    return 1;
}

static int session_outlives_a_kill(void) { return session_outlives_the_server("kill"); }
static int session_outlives_a_stop(void) { return session_outlives_the_server("stop"); }

static int ephemerals_go_with_their_session(void)
{
    struct Stat stat;
    int before = heard.connections;
    zhandle_t *other = zookeeper_init(hosts, watcher, SESSION_MS, NULL, NULL, 0);
    EXPECT(await(&heard.connections, before + 1), 1);
    EXPECT(zoo_exists(other, "/live", 1, &stat), ZOK);
    forget();
    EXPECT(zookeeper_close(zh), ZOK);
    EXPECT_EVENT(0, ZOO_DELETED_EVENT, "/live");
    EXPECT(zoo_exists(other, "/live", 0, &stat), ZNONODE);
    EXPECT(zoo_exists(other, "/c/n-0000000002", 0, &stat), ZNONODE);
    EXPECT(zookeeper_close(other), ZOK);
    return 1;
}

#define CHECK(name) {#name, name}

int main(int count, char **arguments)
{
    static const struct {
        const char *name;
        int (*run)(void);
    } checks[] = {
        CHECK(connects), CHECK(creates_reads_writes_deletes), CHECK(numbers_children), CHECK(watches_fire_once),
        CHECK(watches_are_removed), CHECK(multi_is_all_or_nothing), CHECK(lists_protect),
        CHECK(sync_and_configuration_answer), CHECK(nodes_go_with_time), CHECK(a_thousand_in_flight),
        CHECK(session_outlives_a_kill), CHECK(session_outlives_a_stop), CHECK(ephemerals_go_with_their_session),
    };
    int failures = 0;
    if (count != 2)
        return 2;
    hosts = arguments[1];
    setvbuf(stdout, NULL, _IOLBF, 0);
    zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
    for (size_t n = 0; n < sizeof checks / sizeof checks[0]; n++) {
        int passed = checks[n].run();
        failures += !passed;
        if (passed)
            printf("ok %s\n", checks[n].name);
        else
            printf("FAILED %s: %s\n", checks[n].name, reason);
        if (!zh)
            break;
    }
    return failures != 0;
}
