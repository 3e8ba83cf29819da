package localstore_test

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"testing"
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
	b.Since, b.Next, b.Moved, b.Verdict.Detail = time.Time{}, time.Time{}, time.Time{}, ""
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
	}); !slices.Equal(
		held,
		want,
	) {
		t.Fatalf("credentials of %v, want %v", held, want)
	}
}

func TestStoreIsAsItsModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "model")
		is(t, err, nil)
		defer os.RemoveAll(dir)
		open := func() *localstore.Store {
			s, err := localstore.Open(localstore.Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
			is(t, err, nil)
			return s
		}
		s := open()
		defer func() { is(t, s.Close(), nil) }()
		// The last epochs there are: what is counted past them is 0, and must be refused as old.
		base := rapid.SampledFrom([]home.Epoch{1, home.LastEpoch - 2}).Draw(t, "base")
		m := &model{
			bindings: map[home.DeviceID]home.Binding{},
			intents:  map[home.DeviceID]home.Intent{},
			vault:    map[home.Epoch]bool{},
		}
		is(t, s.Enrol(modelAccount(base), home.Credential{}), nil)
		m.notice = base
		ids := []home.DeviceID{"mac-1", "mac-2", "rk-3"}
		var taken []home.Errand // errands that were read, perhaps long ago
		clock := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
		device := func() home.DeviceID { return rapid.SampledFrom(ids).Draw(t, "device") }
		epoch := func() home.Epoch {
			return m.epoch + rapid.SampledFrom([]home.Epoch{0, 1, 0, 1, 2, home.LastEpoch, home.LastEpoch - 1}).Draw(t, "off")
		}

		actions := map[string]func(){
			"enrol": func() {
				e := m.notice + rapid.SampledFrom([]home.Epoch{0, 0, 1, home.LastEpoch}).Draw(t, "off")
				is(t, s.Enrol(modelAccount(e), home.Credential{}), when(e < m.notice, home.ErrOldEpoch))
				if e < m.notice {
					return
				}
				m.notice = e
				for _, id := range slices.Sorted(maps.Keys(m.bindings)) {
					m.queue(home.Errand{Kind: home.ErrandBind, Device: id})
					if m.epoch != 0 && m.bindings[id].DeviceEpoch == m.epoch {
						m.queue(home.Errand{Kind: home.ErrandSignIn, Device: id, Epoch: m.epoch})
					}
				}
			},
			"notice": func() {
				e, forged := epoch(), rapid.Bool().Draw(t, "forged")
				hash := modelHash(e)
				if forged = forged && e == m.notice; forged {
					hash = []byte("another")
				}
				want := when(forged, home.ErrForged)
				if e < m.notice {
					want = home.ErrOldEpoch
				}
				is(t, s.NoteNotice("a", e, hash, []byte("{}")), want)
				m.notice = max(m.notice, e)
			},
			"begin": func() {
				e := epoch()
				c := modelCredential(e)
				want := when(e < m.epoch || e == 0, home.ErrOldEpoch)
				if want == nil && e == m.epoch && rapid.Bool().Draw(t, "forged") {
					c.EpochSecret, want = home.NewSecret("another"), home.ErrForged
				}
				stale, err := s.BeginEpoch("a", c, modelHash(e), []byte("{}"))
				is(t, err, want)
				if want != nil {
					return
				}
				again := e == m.epoch
				m.begin(e)
				behind := 0
				for _, b := range m.bindings {
					if b.Verdict.State == home.Stale && !again {
						behind++
					}
				}
				if stale != behind {
					t.Fatalf("%d stale, want %d", stale, behind)
				}
			},
			"bind": func() {
				id := device()
				is(t, s.Bind("a", []home.Device{{ID: id}}), nil)
				if _, bound := m.bindings[id]; !bound {
					m.bindings[id] = home.Binding{Device: id, Account: "a"}
					m.drop(home.ErrandUnbind, id)
					m.queue(home.Errand{Kind: home.ErrandBind, Device: id})
				}
			},
			"unbind": func() {
				id := device()
				is(t, s.Unbind([]home.DeviceID{id}), nil)
				if _, bound := m.bindings[id]; bound {
					delete(m.bindings, id)
					delete(m.intents, id)
					m.drop(home.ErrandBind, id)
					m.drop(home.ErrandSignIn, id)
					m.queue(home.Errand{Kind: home.ErrandUnbind, Device: id})
				}
			},
			"observe": func() {
				id := device()
				v := home.Verdict{
					State: rapid.SampledFrom([]home.State{home.Current, home.Current, home.Stale, home.Unreachable, home.Mismatch}).
						Draw(t, "state"),
				}
				if v.State == home.Current || v.State == home.Stale {
					v.Epoch = epoch()
				}
				_, bound := m.bindings[id]
				b, err := s.Observe(id, v, 0, clock)
				is(t, err, when(!bound, home.ErrNotFound))
				if bound {
					m.observe(id, v)
					if plain(b) != m.bindings[id] {
						t.Fatalf("observed %+v, want %+v", plain(b), m.bindings[id])
					}
				}
			},
			"intend": func() {
				id, from, to := device(), epoch(), epoch()
				_, bound := m.bindings[id]
				old, under := m.intents[id]
				want := when(to < m.epoch || to == 0 || (under && to < old.To), home.ErrOldEpoch)
				if !bound {
					want = home.ErrNotFound
				}
				_, err := s.Intend(id, from, to, clock)
				is(t, err, want)
				if want != nil {
					return
				}
				holds := map[home.Epoch]bool{to: true, from: true}
				for _, e := range old.Holds {
					holds[e] = true
				}
				delete(holds, 0)
				m.intents[id] = home.Intent{Device: id, To: to, Holds: slices.Sorted(maps.Keys(holds))}
			},
			"postpone": func() {
				id := device()
				b, bound := m.bindings[id]
				is(t, s.Postpone(id, clock.Add(time.Minute)), when(!bound, home.ErrNotFound))
				if bound {
					b.Tries++
					m.bindings[id] = b
				}
			},
			"signed in": func() {
				e := epoch()
				is(t, s.SignedIn("a", e, ids), nil)
				for _, id := range ids {
					if i := m.find(home.ErrandSignIn, id); i >= 0 && m.outbox[i].Epoch <= e {
						m.drop(home.ErrandSignIn, id)
					}
				}
				for id, b := range m.bindings {
					if b.DeviceEpoch == e && b.CloudEpoch < e {
						b.CloudEpoch = e
						m.bindings[id] = b
					}
				}
			},
			"queue": func() {
				e := home.Errand{
					Kind:  rapid.SampledFrom([]home.ErrandKind{home.ErrandAck, home.ErrandUnbind}).Draw(t, "kind"),
					Epoch: m.epoch,
					At:    clock,
				}
				if e.Kind != home.ErrandAck {
					e.Device = device()
				}
				is(t, s.Queue([]home.Errand{e}), nil)
				m.queue(e)
			},
			"take": func() {
				es, err := s.Errands(rapid.IntRange(0, 4).Draw(t, "n"))
				is(t, err, nil)
				taken = append(taken, es...)
			},
			"answered": func() {
				if len(taken) == 0 {
					return
				}
				e := rapid.SampledFrom(taken).Draw(t, "errand")
				waiting, err := s.Errands(1000)
				is(t, err, nil)
				replaced := !slices.ContainsFunc(waiting, func(w home.Errand) bool {
					return w.Kind == e.Kind && w.Device == e.Device && w.Epoch == e.Epoch && w.At.Equal(e.At)
				})
				is(t, s.Answered([]home.Errand{e}), nil)
				if !replaced {
					m.drop(e.Kind, e.Device)
				}
			},
			"reopen": func() {
				is(t, s.Close(), nil)
				s = open()
				is(t, s.Check(), nil)
			},
		}
		names := slices.Sorted(maps.Keys(actions))
		last := map[home.DeviceID]home.Epoch{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			before := m.epoch
			clock = clock.Add(time.Second)
			actions[rapid.SampledFrom(names).Draw(t, "action")]()
			m.compare(t, s)
			if m.epoch < before {
				t.Fatalf("the epoch went from %d back to %d", before, m.epoch)
			}
			for id, b := range m.bindings {
				if b.CloudEpoch < last[id] {
					t.Fatalf("the sign-in of %s went from %d back to %d", id, last[id], b.CloudEpoch)
				}
			}
			clear(last)
			for id, b := range m.bindings {
				last[id] = b.CloudEpoch
			}
		}
		is(t, s.Check(), nil)
	})
}
