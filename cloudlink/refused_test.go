package cloudlink_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/rekeyd/rekeyd/cloudlink"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/localstore"
)

// lines is a log.
type lines struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), s)
}

func TestARefusedCredentialEndsTheDialling(t *testing.T) {
	for _, code := range []byte{packets.ErrRefusedBadUsernameOrPassword, packets.ErrRefusedNotAuthorised} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			dials := make(chan bool, 100)
			var all sync.WaitGroup
			all.Go(func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = packets.ReadPacket(conn)
					select {
					case dials <- true:
					default: // enough were counted
					}
					a := packets.NewControlPacket(packets.Connack).(*packets.ConnackPacket)
					a.ReturnCode = code
					_ = a.Write(conn)
					_ = conn.Close()
				}
			})
			store, err := localstore.Open(localstore.Options{Dir: t.TempDir(), Log: quiet})
			must(t, err)
			id, err := wire.NewIdentity(wire.RoleHub, wire.NewSeed(), wire.NewSeed())
			must(t, err)
			must(
				t,
				store.Enrol(
					home.Account{ID: "a", ServiceKey: id.Keys.Sign, ServiceSeal: id.Keys.Seal, NoticeEpoch: 1}, home.Credential{},
				),
			)
			var log lines
			link, err := cloudlink.New(cloudlink.Options{
				Identity: id, Store: store, Boot: 1, Log: slog.New(slog.NewTextHandler(&log, nil)),
				Brokers: []string{"mqtt://" + l.Addr().String()},
			})
			must(t, err)
			ctx, cancel := context.WithCancel(context.Background())
			all.Go(func() { must(t, link.Run(ctx)) })
			defer store.Close()
			defer all.Wait()
			defer l.Close()
			defer cancel()
			refused := func() bool {
				up, why := link.State()
				return !up && strings.Contains(why, "refused this hub's credential")
			}
			eventually(t, time.Minute, "the reason is reported, and logged as an error", func() bool {
				return refused() && log.count("level=ERROR") > 0
			})
			if n := log.count("level=ERROR"); n != 1 {
				t.Errorf("%d errors in the log, want 1: %s", n, log.b.String())
			}
			link.Wake()                        // no reason to dial again
			time.Sleep(700 * time.Millisecond) // longer than the pause between two dials; nothing can prove that it never dials
			if n := len(dials); n != 1 || !refused() {
				t.Errorf("dialled %d times, want once", n)
			}
			link.Rejoin() // one: the account has changed
			eventually(t, time.Minute, "another dial", func() bool { return len(dials) == 2 })
		})
	}
}

func TestAHouseFollowsAResetOverMosquitto(t *testing.T) {
	t.Parallel()
	follow(t, open(t, nettest.Mosquitto(t)), 300)
}
