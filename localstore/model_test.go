package localstore_test

import (
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
