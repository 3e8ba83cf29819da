package account

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

type noMail struct{}

func (noMail) Send(context.Context, Mail) error { return nil }

// withMails returns a service in whose queue n mails wait for a later time.
func withMails(t testing.TB, n int) *Service {
	t.Helper()
	s, err := New(Options{
		Dir: t.TempDir(), BaseURL: "http://localhost", Brokers: []string{"mqtt://127.0.0.1:1"}, Mail: noMail{}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	err = s.st.Update(func(tx *bbolt.Tx) error {
		for i := range n {
			q := queued{Mail: Mail{To: fmt.Sprintf("%d@example.org", i), Subject: "x"}, Next: time.Now().Add(time.Hour)}
			if err := s.putMail(tx, uint64(i+1), q); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestALookForMailsThatAreDueDoesNotReadTheOthers(t *testing.T) {
	look := func(n int) float64 {
		s := withMails(t, n)
		return testing.AllocsPerRun(5, func() {
			if _, due, err := s.dueMails(func(uint64) bool { return false }); err != nil || len(due) > 0 {
				t.Fatal(len(due), err)
			}
		})
	}
	if few, many := look(10), look(1000); many > 2*few {
		t.Errorf("%v allocations with 10 mails that wait, %v with 1000", few, many)
	}
}

func BenchmarkLookAtWaitingMails(b *testing.B) {
	s := withMails(b, 9_999)
	for b.Loop() {
		if _, _, err := s.dueMails(func(uint64) bool { return false }); err != nil {
			b.Fatal(err)
		}
	}
}
