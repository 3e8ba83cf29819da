package app

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink"
	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/account/mail"
	"github.com/rekeyd/rekeyd/cloudlink/account/server"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/catalog"
)

// crashState names the state directory in the environment of a process that is to be killed, crashHouse the devices of
// its house.
const (
	crashState = "REKEYD_CRASH_STATE"
	crashHouse = "REKEYD_CRASH_HOUSE"
)

// TestMain runs hub and service where a crash test has started this binary for that.
func TestMain(m *testing.M) {
	if dir := os.Getenv(crashState); dir != "" {
		if err := (&crashing{dir: dir}).run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// crashing is a hub with its service as rekeyd runs them, whose writes, messages and calls of devices are points. An
// order on its standard input arms one of them: the process then kills itself there. It prints its progress.
type crashing struct {
	dir     string
	hub     *Hub
	serving atomic.Bool // every port is open

	mu    sync.Mutex // guards the fields below
	point string     // at which it dies; empty for none
	count int        // of points, until it dies; 0 for none
	seen  map[string]bool
}

// progress is printed as a line of JSON after each change.
type progress struct {
	Epoch                   home.Epoch
	Link                    bool
	Bound, Current, Intents int
	Unopened                int    // devices that hold an epoch that the vault does not have
	Point                   string // that was passed for the first time
}

// pass is the gate of all points.
func (c *crashing) pass(point string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count--
	if point == c.point || c.count == 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // until it arrives
	}
	if c.seen != nil && !c.seen[point] {
		c.seen[point] = true
		c.print(progress{Point: point})
	}
	return nil
}

func (c *crashing) print(p progress) {
	raw, _ := json.Marshal(p)
	_, _ = os.Stdout.Write(append(raw, '\n'))
}

// dial connects over TCP. What is written there is a point.
func (c *crashing) dial(name string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		mqtt := strings.HasSuffix(addr, ":7355")
		return gatedConn{Conn: conn, name: name, mqtt: mqtt, gate: c.pass, sent: new(atomic.Int64)}, nil
	}
}

func (c *crashing) dialBroker(name string) func(string) (net.Conn, error) {
	return func(addr string) (net.Conn, error) { return c.dial(name)(context.Background(), "tcp", addr) }
}

// Send is mail.Mailer: it drops all mails.
func (c *crashing) Send(context.Context, mail.Mail) error { return nil }

func (c *crashing) run() error {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	p := account.DefaultPolicy()
	p.Activation, p.HashMemory, p.HashTime, p.LoginFailures = false, 64, 1, 1000
	service, err := NewService(ServiceOptions{
		State: c.dir, Listen: "127.0.0.1:7354", Broker: "127.0.0.1:7355", Mail: c, Policy: p, Log: log,
		edges: edges{account: func(o *server.Options) {
			o.Dial, o.Store = c.dialBroker("service: message"), gatedAccounts{o.Store, c.pass}
		}},
	})
	if err != nil {
		return err
	}
	defer service.Close()
	c.hub, err = NewHub(HubOptions{
		State: c.dir, Version: "test", Service: service, Listen: "127.0.0.1:7353", Log: log,
		Changed: func(daemon.Row) { c.report() },
		edges: edges{engine: c.engine, link: func(o *cloudlink.Options) {
			o.Dial, o.Store = c.dialBroker("link: message"), gatedStore{o.Store, c.pass}
		}},
	})
	if err != nil {
		return err
	}
	defer c.hub.Close()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var parts sync.WaitGroup
	errs := make(chan error, 2)
	parts.Go(func() { errs <- service.Run(ctx) })
	parts.Go(func() { errs <- c.hub.Run(ctx) })
	<-c.hub.Serving(ctx)
	c.serving.Store(true)
	parts.Go(func() {
		for ctx.Err() == nil { // the last intent goes after the last change of a row
			c.report()
			time.Sleep(50 * time.Millisecond)
		}
	})
	c.obey()
	stop()
	parts.Wait()
	return errors.Join(<-errs, <-errs)
}

// engine has each driver dial through points of its own, and finds the devices without a network.
func (c *crashing) engine(h *Hub, o *daemon.Options) {
	for p := range o.Drivers {
		ds, err := catalog.New(catalog.Options{
			Hub: h.identity, Budget: unlimited{}, Memory: h.store, Dial: c.dial(string(p) + ": message"),
		})
		if err != nil {
			panic(err)
		}
		o.Drivers[p] = ds[p]
	}
	o.Discovery, o.Ledger = c, gatedLedger{o.Ledger, c.pass}
}

// unlimited is keyring.Budget of a device that is killed more often than it allows sign-ins: three an hour.
type unlimited struct{}

func (unlimited) Spend(home.DeviceID) error { return nil }
func (unlimited) Good(home.DeviceID) error  { return nil }

// Refused implements keyring.Budget.
func (unlimited) Refused(home.DeviceID) error { return nil }

// Run is daemon.Discovery: all devices of crashHouse, every second.
func (c *crashing) Run(ctx context.Context, see func([]home.Sighting)) error {
	for {
		var seen []home.Sighting
		if err := json.Unmarshal([]byte(os.Getenv(crashHouse)), &seen); err != nil {
			return err
		}
		for i := range seen {
			seen[i].At = time.Now()
		}
		see(seen)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// obey takes orders until the standard input ends: "arm POINT" (or its number), "learn" (report each point), "login
// EMAIL PASSWORD".
func (c *crashing) obey() {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		order, rest, _ := strings.Cut(lines.Text(), " ")
		switch order {
		case "arm":
			c.mu.Lock()
			c.point = rest
			c.count, _ = strconv.Atoi(rest) // a number counts all points
			c.mu.Unlock()
		case "learn":
			c.mu.Lock()
			c.seen = map[string]bool{}
			c.mu.Unlock()
		case "login":
			email, password, _ := strings.Cut(rest, " ")
			if err := c.setUp(email, password); err != nil {
				fmt.Fprintln(os.Stderr, "login:", err)
			}
		}
	}
}

// setUp signs the hub in, and binds every device with all consents.
func (c *crashing) setUp(email, password string) error {
	err := c.hub.Login(context.Background(), daemon.Login{Email: email, Password: home.NewSecret(password)})
	if err != nil {
		return err
	}
	var ids []home.DeviceID
	for len(ids) == 0 { // until discovery has seen them
		_, rows, err := c.hub.engine.House()
		if err != nil {
			return err
		}
		for _, r := range rows {
			ids = append(ids, r.ID)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return errors.Join(c.hub.engine.Bind(ids), c.hub.engine.AllowCleartext(ids))
}

// report prints how far the house is, once every port is open.
func (c *crashing) report() {
	if !c.serving.Load() {
		return
	}
	var p progress
	a, rows, err := c.hub.engine.House()
	is, err2 := c.hub.store.Intents()
	cs, err3 := c.hub.store.Credentials(a.ID)
	if errors.Join(err, err2, err3) != nil {
		return
	}
	opens := map[home.Epoch]bool{}
	for _, cr := range cs {
		opens[cr.Epoch] = true
	}
	for _, r := range rows {
		if !r.Bound {
			continue
		}
		p.Bound++
		if r.Verdict == home.Current && r.Epoch == a.Epoch {
			p.Current++
		}
		if !opens[r.Epoch] {
			p.Unopened++
		}
	}
	p.Epoch, p.Intents = a.Epoch, len(is)
	p.Link, _ = c.hub.linkState()
	c.print(p)
}
