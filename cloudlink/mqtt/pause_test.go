package mqtt_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
)

// rounds counts the rounds of dialling in the minute after an hour without a broker. then is called at its beginning.
func rounds(t *testing.T, then func(*mqtt.Conn)) (n int) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex // guards n
		c, err := mqtt.New(mqtt.Options{
			Brokers: []string{"mqtt://127.0.0.1:1"}, ClientID: "me", Receive: func(mqtt.Message) {}, Log: slog.New(slog.DiscardHandler),
			Will: func() *mqtt.Message { // asked before each dial
				mu.Lock()
				n++
				mu.Unlock()
				return nil
			},
		})
		must(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour+time.Minute)
		defer cancel()
		var parts sync.WaitGroup
		parts.Go(func() {
			time.Sleep(time.Hour)
			mu.Lock()
			n = 0
			mu.Unlock()
			then(c)
		})
		must(t, c.Run(ctx))
		parts.Wait()
	})
	return n
}

func TestPausesAreShortAgainOnceTheOtherEndHasAnswered(t *testing.T) {
	if n := rounds(t, func(*mqtt.Conn) {}); n > 3 {
		t.Errorf("dialled %d times in the minute after an hour without a broker", n)
	}
	if n := rounds(t, func(c *mqtt.Conn) { c.Worked(); c.Hurry() }); n < 29 {
		t.Errorf("dialled %d times in the minute after the other end had answered", n)
	}
}

func TestHurryEndsAPause(t *testing.T) {
	n := rounds(t, func(c *mqtt.Conn) {
		for range 10 {
			c.Hurry()
			time.Sleep(time.Second)
		}
	})
	if n < 10 {
		t.Errorf("dialled %d times after ten calls", n)
	}
}
