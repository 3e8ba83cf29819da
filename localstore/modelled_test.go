package localstore_test

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore"
)

// model is what a store must be after the same calls, in memory and simple.
type model struct {
	epoch, notice home.Epoch
	bindings      map[home.DeviceID]home.Binding // without times
	intents       map[home.DeviceID]home.Intent
	outbox        []home.Errand
	vault         map[home.Epoch]bool
}

// plain leaves out what a model does not follow.
func plain(b home.Binding) home.Binding {
	b.Since, b.Next, b.Moved, b.Rekeyed, b.Verdict.Detail = time.Time{}, time.Time{}, time.Time{}, time.Time{}, ""
	return b
}

func (m *model) find(k home.ErrandKind, d home.DeviceID) int {
	return slices.IndexFunc(m.outbox, func(e home.Errand) bool { return e.Kind == k && e.Device == d })
}

func (m *model) queue(e home.Errand) {
	if i := m.find(e.Kind, e.Device); i >= 0 {
		m.outbox[i] = e
		return
	}
	m.outbox = append(m.outbox, e)
}

func (m *model) drop(k home.ErrandKind, d home.DeviceID) {
	if i := m.find(k, d); i >= 0 {
		m.outbox = slices.Delete(m.outbox, i, i+1)
	}
}

// seen is the end of an intent, and the beginning of a sign-in.
func (m *model) seen(id home.DeviceID) {
	delete(m.intents, id)
	if i := m.find(home.ErrandSignIn, id); m.bindings[id].CloudEpoch < m.epoch && (i < 0 || m.outbox[i].Epoch != m.epoch) {
		m.queue(home.Errand{Kind: home.ErrandSignIn, Device: id, Epoch: m.epoch})
	}
}

func (m *model) begin(e home.Epoch) {
	ack := home.Errand{Kind: home.ErrandAck, Epoch: e}
	if e == m.epoch {
		m.queue(ack)
		return
	}
	m.epoch, m.notice, m.vault[e] = e, max(m.notice, e), true
	for _, id := range slices.Sorted(maps.Keys(m.bindings)) {
		b := m.bindings[id]
		b.Verdict, b.Tries, b.Reverts = b.Verdict.Against(e), 0, 0
		m.bindings[id] = b
		m.drop(home.ErrandSignIn, id)
		if b.Verdict.State == home.Current {
			m.seen(id)
		}
	}
	m.queue(ack)
}

func (m *model) observe(id home.DeviceID, v home.Verdict) {
	b := m.bindings[id].Observed(v, m.epoch, time.Time{}) // its rules have their own tests
	m.bindings[id] = plain(b)
	if b.Verdict.State == home.Current {
		m.seen(id)
	}
}

// modelHash is the hash of the one true notice of an epoch.
func modelHash(e home.Epoch) []byte { return fmt.Appendf(nil, "notice %d", e) }

func modelCredential(e home.Epoch) home.Credential {
	return home.Credential{
		Epoch:       e,
		Username:    "owner@example.org",
		EpochSecret: home.NewSecret(fmt.Sprint("secret of ", uint64(e))),
	}
}

func modelAccount(e home.Epoch) home.Account {
	return home.Account{ID: "a", Email: "owner@example.org", Notice: modelHash(e), NoticeEpoch: e}
}

// is checks an error.
func is(t *rapid.T, err, want error) {
	t.Helper()
	if (want == nil) != (err == nil) || !errors.Is(err, want) {
		t.Fatalf("err %v, want %v", err, want)
	}
}

func when(condition bool, err error) error {
	if condition {
		return err
	}
	return nil
}

// compare checks that the store is as the model.
func (m *model) compare(t *rapid.T, s *localstore.Store) {
	t.Helper()
	a, err := s.Account()
	is(t, err, nil)
	if a.Epoch != m.epoch || a.NoticeEpoch != m.notice {
		t.Fatalf("epoch %d, notice %d; want %d, %d", a.Epoch, a.NoticeEpoch, m.epoch, m.notice)
	}
	bs, err := s.Bindings()
	is(t, err, nil)
	if len(bs) != len(m.bindings) {
		t.Fatalf("%d bindings, want %d", len(bs), len(m.bindings))
	}
	for _, b := range bs {
		if got, want := plain(b), m.bindings[b.Device]; got != want {
			t.Fatalf("binding %+v, want %+v", got, want)
		}
	}
	secrets, err := s.BindingSecrets(slices.Collect(maps.Keys(m.bindings)))
	is(t, err, nil)
	if len(secrets) != len(bs) {
		t.Fatalf("%d binding secrets for %d bindings", len(secrets), len(bs))
	}
	intents, err := s.Intents()
	is(t, err, nil)
	if len(intents) != len(m.intents) {
		t.Fatalf("intents %v, want %v", intents, m.intents)
	}
	for _, i := range intents {
		if want := m.intents[i.Device]; i.To != want.To || !slices.Equal(i.Holds, want.Holds) {
			t.Fatalf("intent %v, want %v", i, want)
		}
	}
	es, err := s.Errands(1000)
	is(t, err, nil)
	same := func(a, b home.Errand) bool { return a.Kind == b.Kind && a.Device == b.Device && a.Epoch == b.Epoch }
	if !slices.EqualFunc(es, m.outbox, same) {
		t.Fatalf("outbox %v, want %v", es, m.outbox)
	}
	cs, err := s.Credentials("a")
	is(t, err, nil)
	var held []home.Epoch
	for _, c := range cs {
		held = append(held, c.Epoch)
		if !c.EpochSecret.Equal(modelCredential(c.Epoch).EpochSecret) {
			t.Fatalf("another secret of epoch %d", c.Epoch)
		}
	}
	if want := slices.SortedFunc(maps.Keys(m.vault), func(a, b home.Epoch) int {
		return cmp.Compare(b,
			a)
	}); !slices.Equal(held, want) {
		t.Fatalf("credentials of %v, want %v", held, want)
	}
}
