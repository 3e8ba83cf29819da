// Package native is the driver for devices that speak the link protocol themselves. Such a device signs itself in. The
// driver asks for proof of the epoch that it holds, has it join the account, and passes on the newest notice in case
// the device missed it. README.md describes for makers how a device joins.
package native

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
)

// Options are the options of New.
type Options struct {
	Identity *wire.Identity // the hub's
	// Patience is how long a device may take to follow a notice: fetch its grant, sign in. 15 s when zero.
	Patience time.Duration
	// Dial opens connections; TCP within 3 s when nil.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Driver speaks to the endpoints of devices. It is safe for use by several goroutines.
type Driver struct {
	o    Options
	http *http.Client
}

const maxAnswer = 64 << 10

// New checks o.
func New(o Options) (*Driver, error) {
	if o.Identity == nil || o.Patience < 0 {
		return nil, errors.New("native: the hub's identity is needed, and patience is not negative")
	}
	if o.Patience == 0 {
		o.Patience = 15 * time.Second
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{Timeout: 3 * time.Second}).DialContext
	}
	return &Driver{o: o, http: &http.Client{
		Timeout: 10 * time.Second,
		Transport: &http.Transport{
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: 16 << 10, // the default of 10 MB goes into one error text, quoted
			DialContext:            o.Dial,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Probe asks the device which epoch it holds. The device proves who it is (its name is a hash of its keys) and which
// epoch's secret it holds, against those in c.
func (d *Driver) Probe(ctx context.Context, dev home.Device, c home.Candidates) (home.Finding, error) {
	f := home.Finding{Match: home.Unknown, Device: dev}
	s, nonce, _, err := d.ask(ctx, dev)
	if err != nil {
		f.Verdict = home.Verdict{State: home.Unreachable, Detail: "its endpoint does not answer"}
		if errors.Is(err, home.ErrForged) {
			f.Verdict = home.Verdict{State: home.Mismatch, Detail: "something else answers at its address"}
		}
		return f, ctx.Err()
	}
	if kind, err := home.ParseKind(s.Kind); err == nil {
		f.Device.Kind = kind
	}
	f.Device.Model = s.Model
	if s.Name != "" {
		f.Device.Name = s.Name
	}
	f.Match, f.Verdict = judge(s, nonce, dev.ID, c)
	return f, nil
}

// judge derives owner and verdict from a device's statement.
func judge(s *wire.Statement, nonce []byte, id home.DeviceID, c home.Candidates) (home.Match, home.Verdict) {
	newest := c.Account.Epoch
	switch {
	case s.Account == "":
		return home.Unbound, home.Verdict{State: home.Blank}
	case s.Account != string(c.Account.ID):
		return home.Foreign, home.Verdict{State: home.ForeignHeld}
	case s.Epoch == 0:
		return home.Ours, home.Verdict{State: home.Stale, Detail: "it has joined, and waits for its first grant"}
	}
	for _, cr := range c.Credentials {
		if uint64(cr.Epoch) != s.Epoch || cr.EpochSecret.IsZero() {
			continue
		}
		if !wire.Equal(s.Held, wire.HeldProof(cr.EpochSecret, s.Account, string(id), s.Epoch, nonce)) {
			return home.Ours, home.Verdict{State: home.Mismatch, Detail: "its proof does not hold"}
		}
		return home.Ours, home.Verdict{State: home.Stale, Epoch: cr.Epoch}.Against(newest)
	}
	if home.Epoch(s.Epoch) > newest {
		// The device received the notice before this hub did. Stale schedules a move: by then the hub has it, too.
		return home.Ours, home.Verdict{
			State:  home.Stale,
			Detail: fmt.Sprintf("it states that it holds epoch %d, which this hub does not know yet", s.Epoch),
		}
	}
	return home.Ours, home.Verdict{
		State:  home.Stale,
		Detail: fmt.Sprintf("it states that it holds epoch %d, which this hub never knew", s.Epoch),
	}
}

// Rekey has the device join the account where it belongs to none, sends it the brokers and the newest notice,
// and waits until the device states that it holds the newest epoch and is signed in.
func (d *Driver) Rekey(ctx context.Context, dev home.Device, m home.Move) error {
	s, _, local, err := d.ask(ctx, dev)
	if err != nil {
		return fmt.Errorf("%w: %w", home.ErrUnreachable, err)
	}
	notice, err := wire.ParseNotice(m.Account.NoticeJSON)
	if err != nil {
		return err
	}
	held := home.Stale
	if s.Account == "" {
		held = home.Blank
	}
	if err := closedBroker(ctx, dev, m.Account.Brokers, local); err != nil {
		return err
	}
	// A device that joins receives grants.
	if err := m.Terms.Permit(home.Evidence{Rank: home.ProvesFirst, Held: held}); err != nil {
		return failure.Rekey(dev.ID, err)
	}
	switch s.Account {
	case "":
		if err := d.join(ctx, dev, s, m.Account, notice, local); err != nil {
			return err
		}
	case string(m.Account.ID):
		// The brokers may be others by now. One that joined through another hub keeps the brokers of that hub.
		if err := d.join(ctx, dev, s, m.Account, notice, local); err != nil && !errors.Is(err, home.ErrForeign) {
			return err
		}
		if _, _, err := d.exchange(ctx, dev, &wire.Passed{Notice: notice}); err != nil {
			return fmt.Errorf("%w: %w", home.ErrUnreachable, err)
		}
	default:
		return home.ErrForeign
	}
	ctx, stop := context.WithTimeout(ctx, d.o.Patience)
	defer stop()
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		s, _, _, err := d.ask(ctx, dev)
		if err == nil && home.Epoch(s.Epoch) >= m.To.Epoch && home.Epoch(s.SignedIn) >= m.To.Epoch {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it did not follow within %v: %w", d.o.Patience, home.ErrOffline)
		case <-time.After(pause):
		}
	}
}

// Nudge passes the newest notice on, whether or not it is news: the device asks the account at once, and learns whether
// it is known there.
func (d *Driver) Nudge(ctx context.Context, dev home.Device, a home.Account) error {
	notice, err := wire.ParseNotice(a.NoticeJSON)
	if err != nil {
		return err
	}
	_, _, err = d.exchange(ctx, dev, &wire.Passed{Notice: notice})
	return err
}

// join invites the device into the account: brokers, the service's keys and the newest notice, sealed to the device. It
// returns home.ErrForeign where the device belongs to another account.
func (d *Driver) join(
	ctx context.Context, dev home.Device, s *wire.Statement, a home.Account, n wire.Notice, local netip.Addr,
) error {
	joined, err := json.Marshal(wire.Joined{
		Account: string(a.ID), Service: wire.Keys{Sign: a.ServiceKey, Seal: a.ServiceSeal},
		Brokers: wire.Brokers(reachable(a.Brokers, dev.Addr.Addr(), local)), Notice: n,
	})
	if err != nil {
		return err
	}
	sealed, err := s.Keys.SealTo(wire.JoinInfo(d.o.Identity.Name, string(dev.ID)), joined)
	if err != nil {
		return err
	}
	answer, _, err := d.exchange(ctx, dev, &wire.Join{Sign: d.o.Identity.Keys.Sign, Sealed: sealed})
	if err != nil {
		return fmt.Errorf("%w: %w", home.ErrUnreachable, err)
	}
	if done, ok := answer.Body.(*wire.Done); !ok || done.Code == wire.CodeForeign {
		return home.ErrForeign
	} else if done.Code != "" {
		return fmt.Errorf("%w: %s", home.ErrRefused, done.Code)
	}
	return nil
}

// reachable gives a device elsewhere on the LAN the hub's own address for a broker that the hub knows as a loopback
// address.
func reachable(brokers []string, device, local netip.Addr) []string {
	out := slices.Clone(brokers)
	for i, b := range out {
		u, err := url.Parse(b)
		if err != nil || device.IsLoopback() || !local.IsValid() {
			continue
		}
		if ip, err := netip.ParseAddr(u.Hostname()); u.Hostname() == "localhost" || err == nil && ip.IsLoopback() {
			u.Host = net.JoinHostPort(local.String(), u.Port())
			out[i] = u.String()
		}
	}
	return out
}

// closedBroker returns an error with the remedy where a device elsewhere on the LAN can reach no broker, because this
// hub runs the only one, on loopback: the address that the device would be given refuses connections.
func closedBroker(ctx context.Context, dev home.Device, brokers []string, local netip.Addr) error {
	var refused *url.URL
	for i, given := range reachable(brokers, dev.Addr.Addr(), local) {
		u, err := url.Parse(given)
		if err != nil || given == brokers[i] || u.Port() == "" {
			return nil
		}
		dialling, stop := context.WithTimeout(ctx, 2*time.Second)
		c, err := new(net.Dialer).DialContext(dialling, "tcp", u.Host)
		stop()
		if err == nil {
			_ = c.Close()
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return nil
		}
		refused = u
	}
	if refused == nil {
		return nil
	}
	return &home.Error{
		Op: "rekey", Device: dev.ID,
		Err:  fmt.Errorf("it cannot reach %s://%s: %w", refused.Scheme, refused.Host, home.ErrUnreachable),
		Hint: "start the hub with --broker-listen 0.0.0.0:" + refused.Port(),
	}
}

// ask asks the device for a statement and checks that the device itself made it.
func (d *Driver) ask(
	ctx context.Context, dev home.Device,
) (s *wire.Statement, nonce []byte, local netip.Addr, err error) {
	nonce = wire.NewNonce()
	m, local, err := d.exchange(ctx, dev, &wire.Probe{Nonce: nonce})
	if err != nil {
		return nil, nil, local, err
	}
	s, ok := m.Body.(*wire.Statement)
	if !ok {
		return nil, nil, local, fmt.Errorf("answered with a %s: %w", m.Type, home.ErrForged)
	}
	if err := m.Verify(s.Keys, d.o.Identity.Name); err != nil {
		return nil, nil, local, err
	}
	if m.From != string(dev.ID) {
		return nil, nil, local, fmt.Errorf("%s answered: %w", m.From, home.ErrForged)
	}
	return s, nonce, local, nil
}

// exchange sends a message through the device's endpoint and returns the answer, which is to that very message, and the
// hub's own address on the way there.
func (d *Driver) exchange(ctx context.Context, dev home.Device, b wire.Body) (*wire.Message, netip.Addr, error) {
	var local netip.Addr
	if !dev.Addr.IsValid() {
		return nil, local, home.ErrUnreachable
	}
	out := &wire.Message{To: string(dev.ID), At: time.Now().UnixMilli(), Body: b}
	raw, err := d.o.Identity.Sign(out)
	if err != nil {
		return nil, local, err
	}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) {
		if a, err := netip.ParseAddrPort(c.Conn.LocalAddr().String()); err == nil {
			local = a.Addr()
		}
	}})
	url := "http://" + dev.Addr.String() + wire.EndpointPath
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(raw))
	if err != nil {
		return nil, local, err
	}
	req.Header.Set("Content-Type", "application/jose")
	resp, err := d.http.Do(req)
	if err != nil {
		return nil, local, home.ErrUnreachable // the error of net/http names the address, which people know
	}
	defer resp.Body.Close()
	in, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, local, home.ErrUnreachable
	}
	if resp.StatusCode != http.StatusOK {
		return nil, local, fmt.Errorf("the endpoint answered %s: %w", strings.ToLower(resp.Status), home.ErrForged)
	}
	m, err := wire.ParseMessage(in)
	if err != nil {
		return nil, local, fmt.Errorf("%w: %w", home.ErrForged, err)
	}
	if m.Re != out.ID || m.From != string(dev.ID) {
		return nil, local, fmt.Errorf("answer of %s to something else: %w", m.From, home.ErrForged)
	}
	return m, local, nil
}
