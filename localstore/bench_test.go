package localstore_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/localstore"
)

// houseful is how many devices the figures are for.
const houseful = 10_000

// house is a store with houseful devices bound, at epoch 1.
func house(b *testing.B) (*localstore.Store, []home.DeviceID) {
	b.Helper()
	s, err := localstore.Open(localstore.Options{Dir: b.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	a := home.Account{
		ID: "a", Email: "owner@example.org", ServiceKey: make([]byte, 32), ServiceSeal: make([]byte,
			32), Notice: make([]byte, 32),
		NoticeEpoch: 1, NoticeJSON: bytes.Repeat([]byte{'n'}, 700), Brokers: []string{"tcp://127.0.0.1:7355"},
	}
	if err := s.Enrol(a, home.Credential{}); err != nil {
		b.Fatal(err)
	}
	ids := make([]home.DeviceID, houseful)
	ds := make([]home.Device, houseful)
	for i := range ids {
		ids[i] = home.DeviceID(fmt.Sprintf("mac-50c7bf%06x", i))
		ds[i] = home.Device{
			ID:       ids[i],
			Name:     fmt.Sprintf("plug %d", i),
			Kind:     home.Plug,
			Protocol: home.IOT,
			Keys:     []string{"mac:" + string(ids[i][4:])},
		}
	}
	if err := s.Bind("a", ds); err != nil {
		b.Fatal(err)
	}
	beginBench(b, s, 1)
	return s, ids
}

func beginBench(b *testing.B, s *localstore.Store, e home.Epoch) {
	b.Helper()
	c := home.Credential{
		Epoch:       e,
		Username:    "owner@example.org",
		Password:    home.NewSecret(fmt.Sprint("password ", e)),
		EpochSecret: home.NewSecret(fmt.Sprint("secret ", e)),
	}
	if _, err := s.BeginEpoch("a", c, []byte{byte(e)}, make([]byte, 700)); err != nil {
		b.Fatal(err)
	}
}

// observeAll has 16 goroutines see every device hold e, as the engine does.
func observeAll(b *testing.B, s *localstore.Store, ids []home.DeviceID, e home.Epoch) {
	b.Helper()
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := w; i < len(ids); i += 16 {
				if _, err := s.Observe(ids[i], home.Verdict{State: home.Current, Epoch: e}, 0, time.Now()); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// signInAll takes errands and answers them in batches of 256, as the link does.
func signInAll(b *testing.B, s *localstore.Store, e home.Epoch) {
	b.Helper()
	for {
		es, err := s.Errands(256)
		if err != nil {
			b.Fatal(err)
		}
		if len(es) == 0 {
			return
		}
		ids := make([]home.DeviceID, len(es))
		for i, e := range es {
			ids[i] = e.Device
		}
		if err := s.SignedIn("a", e, ids); err != nil {
			b.Fatal(err)
		}
		if err := s.Answered(es); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStoreReset is all that the store does for a reset: the grant, every device seen, signed in and answered.
func BenchmarkStoreReset(b *testing.B) {
	s, ids := house(b)
	signInAll(b, s, 1)
	var begun, seen, signed time.Duration
	e := home.Epoch(1)
	for b.Loop() {
		e++
		t0 := time.Now()
		beginBench(b, s, e)
		t1 := time.Now()
		observeAll(b, s, ids, e)
		t2 := time.Now()
		signInAll(b, s, e)
		begun, seen, signed = begun+t1.Sub(t0), seen+t2.Sub(t1), signed+time.Since(t2)
	}
	for unit, d := range map[string]time.Duration{"ms/begin": begun, "ms/observe": seen, "ms/sign-in": signed} {
		b.ReportMetric(float64(d.Microseconds())/1000/float64(b.N), unit)
	}
}

// BenchmarkStoreSeenAgain is a sweep in which nothing has changed.
func BenchmarkStoreSeenAgain(b *testing.B) {
	s, ids := house(b)
	observeAll(b, s, ids, 1)
	for b.Loop() {
		observeAll(b, s, ids, 1)
	}
}

// BenchmarkStoreErrands takes a batch of those that wait.
func BenchmarkStoreErrands(b *testing.B) {
	s, ids := house(b)
	observeAll(b, s, ids, 1)
	for b.Loop() {
		if es, err := s.Errands(1280); err != nil || len(es) != 1280 {
			b.Fatal(len(es), err)
		}
	}
}

// BenchmarkStoreSecrets opens what a batch of sign-ins is proved with.
func BenchmarkStoreSecrets(b *testing.B) {
	s, ids := house(b)
	for b.Loop() {
		if m, err := s.BindingSecrets(ids[:256]); err != nil || len(m) != 256 {
			b.Fatal(len(m), err)
		}
	}
}
