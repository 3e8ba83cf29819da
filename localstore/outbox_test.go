package localstore_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestErrandsWaitInOrderUntilAnswered(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	e := func(k home.ErrandKind, d home.DeviceID, epoch home.Epoch, sec int) home.Errand {
		return home.Errand{Kind: k, Device: d, Epoch: epoch, At: noon.Add(time.Duration(sec) * time.Second)}
	}
	first := []home.Errand{
		e(home.ErrandAck, "", 1, 0),
		e(home.ErrandBind, front, 0, 1),
		e(home.ErrandSignIn, front, 1, 2),
		e(home.ErrandSignIn, back, 1, 3),
	}
	must(t, s.Queue(first))
	must(t, s.Queue([]home.Errand{e(home.ErrandSignIn, front, 2, 4)})) // replaces, and keeps its place
	s = reopen(t, s, dir)
	equal(
		t,
		"waiting",
		errands(t, s),
		[]string{
			"ack  1",
			"bind " + string(front) + " 0",
			"sign-in " + string(front) + " 2",
			"sign-in " + string(back) + " 1",
		},
	)
	if es, err := s.Errands(2); err != nil || len(es) != 2 || es[0] != first[0] {
		t.Fatalf("%v, %v", es, err)
	}
	if es, err := s.Errands(0); err != nil || len(es) != 0 {
		t.Fatalf("%v, %v", es, err)
	}
	for i, after := range first { // by kind and device: the third was replaced
		if es, err := s.ErrandsAfter(after, 9); err != nil || len(es) != len(first)-1-i {
			t.Fatalf("after %v: %v, %v", after, es, err)
		}
	}
	if es, err := s.ErrandsAfter(first[0], 1); err != nil || len(es) != 1 || es[0] != first[1] {
		t.Fatalf("one after the first: %v, %v", es, err)
	}
	if es, err := s.ErrandsAfter(e(home.ErrandBind, back, 0, 0), 9); err != nil || len(es) != len(first) {
		t.Fatalf("after one that does not wait: %v, %v", es, err)
	}
	// What was replaced since it was sent stays; so does one of the same epoch that was queued later.
	must(t, s.Answered(first))
	equal(t, "waiting", errands(t, s), []string{"sign-in " + string(front) + " 2"})
	must(t, s.Answered([]home.Errand{e(home.ErrandSignIn, front, 2, 3), e(home.ErrandBind, back, 0, 0)}))
	equal(t, "waiting", errands(t, s), []string{"sign-in " + string(front) + " 2"})
	must(t, s.Answered([]home.Errand{e(home.ErrandSignIn, front, 2, 4)}))
	if left := errands(t, s); left != nil {
		t.Fatal(left)
	}
	must(t, s.Check())
}

func TestHistoryIsBoundedAndNewestFirst(t *testing.T) {
	if testing.Short() {
		t.Skip("writes more than ten thousand lines")
	}
	dir := t.TempDir()
	s := open(t, dir)
	const kept, writers = 10_000, 256
	n := 0
	write := func(count int) {
		var wg sync.WaitGroup
		for range writers {
			wg.Go(func() {
				for range count / writers {
					must(t, s.Record(home.Event{At: noon, What: "tested"}))
				}
			})
		}
		wg.Wait()
		n += count / writers * writers
	}
	write(kept + 3*writers)
	for i := range 3 {
		must(t, s.Record(home.Event{At: noon.In(time.FixedZone("CET", 3600)), What: "last", Detail: fmt.Sprint(i)}))
	}
	s = reopen(t, s, dir)
	es, err := s.History(kept * 2)
	must(t, err)
	if n <= kept || len(es) != kept || es[0].Detail != "2" || es[2].Detail != "0" || es[3].What != "tested" ||
		es[0].At != noon {
		t.Fatalf("%d lines of %d, newest %+v", len(es), n, es[0])
	}
	if es, err = s.History(2); err != nil || len(es) != 2 || es[0].Detail != "2" {
		t.Fatalf("%+v, %v", es, err)
	}
	if es, err = s.History(0); err != nil || len(es) != 0 {
		t.Fatalf("%+v, %v", es, err)
	}
}
