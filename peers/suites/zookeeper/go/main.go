// Judges a ZooKeeper server with go-zookeeper: client HOST:PORT
//
// Prints `ok NAME` or `FAILED NAME: reason` for each check. FK_ZK_CONTROL is a command that kills and starts the server.
package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"sort"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"
)

const (
	patience = 30 * time.Second
	session  = 20 * time.Second
)

var (
	server string
	conn   *zk.Conn
	open   = zk.WorldACL(zk.PermAll)
)

// failure is what a check panics with.
type failure struct{ reason string }

func failf(format string, arguments ...any) {
	panic(failure{fmt.Sprintf(format, arguments...)})
}

func must(err error) {
	if err != nil {
		failf("%v", err)
	}
}

func expect[T comparable](what string, found, wanted T) {
	if found != wanted {
		failf("%s: found %v, expected %v", what, found, wanted)
	}
}

func expectError(what string, found, wanted error) {
	if !errors.Is(found, wanted) {
		failf("%s: found %v, expected %v", what, found, wanted)
	}
}

func dial() *zk.Conn {
	c, events, err := zk.Connect([]string{server}, session, zk.WithLogger(log.New(io.Discard, "", 0)), zk.WithLogInfo(false))
	must(err)
	late := time.After(patience)
	for {
		select {
		case event := <-events:
			if event.State == zk.StateHasSession {
				// Nobody reads further; the channel drops what does not fit.
				return c
			}
		case <-late:
			failf("no session")
		}
	}
}

func expectEvent(what string, events <-chan zk.Event, kind zk.EventType, path string) {
	select {
	case event := <-events:
		must(event.Err)
		expect(what+": kind", event.Type, kind)
		expect(what+": path", event.Path, path)
	case <-time.After(patience):
		failf("%s: no event", what)
	}
}

func await(what string, holds func() bool) {
	for end := time.Now().Add(patience); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			failf("%s: not within %v", what, patience)
		}
	}
}

func create(path, data string, flags int32) string {
	name, err := conn.Create(path, []byte(data), flags, open)
	if err != nil {
		failf("create %s: %v", path, err)
	}
	return name
}

func connects() {
	conn = dial()
	expect("state", conn.State(), zk.StateHasSession)
	if conn.SessionID() == 0 {
		failf("the session has no number")
	}
}

func createsReadsWritesDeletes() {
	expect("name", create("/g", "one", zk.FlagPersistent), "/g")
	_, err := conn.Create("/g", nil, 0, open)
	expectError("second create", err, zk.ErrNodeExists)
	_, err = conn.Create("/none/g", nil, 0, open)
	expectError("create below nothing", err, zk.ErrNoNode)
	data, first, err := conn.Get("/g")
	must(err)
	expect("data", string(data), "one")
	stat, err := conn.Set("/g", []byte("longer"), 0)
	must(err)
	expect("version", stat.Version, 1)
	expect("length", stat.DataLength, 6)
	expect("czxid", stat.Czxid, first.Czxid)
	expect("mzxid grows", stat.Mzxid > first.Mzxid, true)
	_, err = conn.Set("/g", nil, 0)
	expectError("set of an old version", err, zk.ErrBadVersion)
	create("/g/x", "", zk.FlagPersistent)
	expectError("delete of a parent", conn.Delete("/g", -1), zk.ErrNotEmpty)
	expectError("delete of another version", conn.Delete("/g/x", 4), zk.ErrBadVersion)
	must(conn.Delete("/g/x", 0))
	exists, _, err := conn.Exists("/g/x")
	must(err)
	expect("deleted node exists", exists, false)
	_, stat, err = conn.Children("/g")
	must(err)
	expect("cversion", stat.Cversion, 2)
	name, err := conn.Sync("/g")
	must(err)
	expect("sync", name, "/g")
}

func watchesFireOnce() {
	exists, _, created, err := conn.ExistsW("/w")
	must(err)
	expect("/w exists", exists, false)
	create("/w", "", zk.FlagPersistent)
	expectEvent("exists", created, zk.EventNodeCreated, "/w")
	_, _, changed, err := conn.GetW("/w")
	must(err)
	names, _, children, err := conn.ChildrenW("/w")
	must(err)
	expect("children", len(names), 0)
	_, err = conn.Set("/w", []byte("x"), -1)
	must(err)
	expectEvent("get", changed, zk.EventNodeDataChanged, "/w")
	create("/w/child", "", zk.FlagPersistent)
	expectEvent("children", children, zk.EventNodeChildrenChanged, "/w")
	_, _, deleted, err := conn.ExistsW("/w/child")
	must(err)
	must(conn.Delete("/w/child", -1))
	expectEvent("exists", deleted, zk.EventNodeDeleted, "/w/child")
}

func numbersChildren() {
	create("/s", "", zk.FlagPersistent)
	for n := 0; n < 5; n++ {
		flags := int32(zk.FlagEphemeral | zk.FlagSequence)
		expect("name", create("/s/n-", "", flags), fmt.Sprintf("/s/n-%010d", n))
	}
	names, stat, err := conn.Children("/s")
	must(err)
	sort.Strings(names)
	expect("children", len(names), 5)
	expect("number of children", stat.NumChildren, 5)
	expect("first", names[0], "n-0000000000")
	_, stat, err = conn.Get("/s/n-0000000003")
	must(err)
	expect("owner", stat.EphemeralOwner, conn.SessionID())
	_, err = conn.Create("/s/n-0000000003/x", nil, 0, open)
	expectError("child of an ephemeral node", err, zk.ErrNoChildrenForEphemerals)
	name, err := conn.CreateProtectedEphemeralSequential("/s/p-", nil, open)
	must(err)
	expect("protected name", name[len(name)-12:], "p-0000000005")
}

func multiIsAllOrNothing() {
	create := &zk.CreateRequest{Path: "/m", Data: []byte("1"), Acl: open}
	set := &zk.SetDataRequest{Path: "/m", Data: []byte("2"), Version: 0}
	remove := &zk.DeleteRequest{Path: "/m", Version: -1}
	answers, err := conn.Multi(create, set, &zk.CheckVersionRequest{Path: "/m", Version: 7}, remove)
	expectError("multi", err, zk.ErrBadVersion)
	expect("answers", len(answers), 4)
	expectError("the culprit's answer", answers[2].Error, zk.ErrBadVersion)
	exists, _, err := conn.Exists("/m")
	must(err)
	expect("/m exists", exists, false)
	answers, err = conn.Multi(create, set, &zk.CheckVersionRequest{Path: "/m", Version: 1})
	must(err)
	expect("created", answers[0].String, "/m")
	expect("version", answers[1].Stat.Version, 1)
	_, err = conn.Multi(remove)
	must(err)
}

func listsProtect() {
	stranger := dial()
	defer stranger.Close()
	must(conn.AddAuth("digest", []byte("u:p")))
	list := zk.DigestACL(zk.PermAll, "u", "p")
	_, err := conn.Create("/acl", []byte("secret"), 0, list)
	must(err)
	found, stat, err := conn.GetACL("/acl")
	must(err)
	expect("entries", len(found), 1)
	expect("entry", found[0], list[0])
	expect("version", stat.Aversion, 0)
	_, _, err = stranger.Get("/acl")
	expectError("a stranger's get", err, zk.ErrNoAuth)
	stat, err = conn.SetACL("/acl", append(zk.WorldACL(zk.PermRead), list...), 0)
	must(err)
	expect("version", stat.Aversion, 1)
	_, _, err = stranger.Get("/acl")
	must(err)
	_, err = stranger.Set("/acl", nil, -1)
	expectError("a stranger's set", err, zk.ErrNoAuth)
	must(stranger.AddAuth("digest", []byte("u:p")))
	_, err = stranger.Set("/acl", []byte("shared"), -1)
	must(err)
}

func nodesGoWithTime() {
	_, err := conn.CreateTTL("/ttl", nil, zk.FlagTTL, open, 500*time.Millisecond)
	must(err)
	_, err = conn.CreateContainer("/box", nil, zk.FlagContainer, open)
	must(err)
	create("/box/x", "", zk.FlagPersistent)
	must(conn.Delete("/box/x", -1))
	for _, path := range []string{"/ttl", "/box"} {
		await(path+" goes", func() bool {
			exists, _, err := conn.Exists(path)
			must(err)
			return !exists
		})
	}
}

// A counter that only a lock keeps from losing steps.
func lockExcludes() {
	const clients, rounds = 3, 10
	var inside, counter int32
	ends := make(chan error, clients)
	for n := 0; n < clients; n++ {
		c := dial()
		go func() {
			defer c.Close()
			lock := zk.NewLock(c, "/lock", open)
			for round := 0; round < rounds; round++ {
				if err := lock.Lock(); err != nil {
					ends <- err
					return
				}
				if atomic.AddInt32(&inside, 1) != 1 {
					ends <- errors.New("two have the lock")
					return
				}
				counter++
				atomic.AddInt32(&inside, -1)
				if err := lock.Unlock(); err != nil {
					ends <- err
					return
				}
			}
			ends <- nil
		}()
	}
	for n := 0; n < clients; n++ {
		must(<-ends)
	}
	expect("counter", counter, clients*rounds)
}

func wordsAreParsed() {
	// Its parser of srvr knows the dates of releases before 3.5 only, and that of cons complains of the line of the
	// connection that asks, which has no session.
	expect("ruok", zk.FLWRuok([]string{server}, patience)[0], true)
	clients, _ := zk.FLWCons([]string{server}, patience)
	found := false
	for _, client := range clients[0].Clients {
		found = found || client.SessionID == conn.SessionID()
	}
	expect("the session is in cons", found, true)
}

func control(verb string) {
	out, err := exec.Command(os.Getenv("FK_ZK_CONTROL"), verb).CombinedOutput()
	if err != nil {
		failf("%s: %v: %s", verb, err, out)
	}
}

func sessionOutlives(end string) {
	id := conn.SessionID()
	if exists, _, err := conn.Exists("/live"); err == nil && !exists {
		create("/live", "", zk.FlagEphemeral)
	}
	_, _, changed, err := conn.GetW("/w")
	must(err)
	_, _, children, err := conn.ChildrenW("/w")
	must(err)
	control(end)
	control("start")
	await("the session is back", func() bool {
		_, stat, err := conn.Exists("/live")
		return err == nil && stat.EphemeralOwner == id
	})
	expect("session", conn.SessionID(), id)
	// The watches are back, and so is the identity.
	_, err = conn.Set("/w", []byte(end), -1)
	must(err)
	expectEvent("get", changed, zk.EventNodeDataChanged, "/w")
	create("/w/"+end, "", zk.FlagPersistent)
	expectEvent("children", children, zk.EventNodeChildrenChanged, "/w")
	_, err = conn.Set("/acl", []byte(end), -1)
	must(err)
}

func ephemeralsGoWithTheirSession() {
	other := dial()
	defer other.Close()
	exists, _, deleted, err := other.ExistsW("/live")
	must(err)
	expect("/live exists", exists, true)
	conn.Close()
	expectEvent("exists", deleted, zk.EventNodeDeleted, "/live")
	names, _, err := other.Children("/s")
	must(err)
	expect("ephemeral children", len(names), 0)
}

func check(name string, run func()) (passed bool) {
	defer func() {
		switch reason := recover().(type) {
		case nil:
			fmt.Println("ok", name)
			passed = true
		case failure:
			fmt.Printf("FAILED %s: %s\n", name, reason.reason)
		default:
			fmt.Printf("FAILED %s: %v\n", name, reason)
		}
	}()
	run()
	return
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: client HOST:PORT")
		os.Exit(2)
	}
	server = os.Args[1]
	all := check("connects", connects)
	for _, one := range []struct {
		name string
		run  func()
	}{
		{"creates_reads_writes_deletes", createsReadsWritesDeletes},
		{"watches_fire_once", watchesFireOnce},
		{"numbers_children", numbersChildren},
		{"multi_is_all_or_nothing", multiIsAllOrNothing},
		{"lists_protect", listsProtect},
		{"nodes_go_with_time", nodesGoWithTime},
		{"lock_excludes", lockExcludes},
		{"words_are_parsed", wordsAreParsed},
		{"session_outlives_a_kill", func() { sessionOutlives("kill") }},
		{"session_outlives_a_stop", func() { sessionOutlives("stop") }},
		{"ephemerals_go_with_their_session", ephemeralsGoWithTheirSession},
	} {
		all = conn != nil && check(one.name, one.run) && all
	}
	if !all {
		os.Exit(1)
	}
}
