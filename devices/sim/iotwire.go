package sim

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/xor"
)

const (
	maxRequest = 16 << 10
	maxConns   = 16               // of one device at once
	idle       = 30 * time.Second // after which a connection that asks nothing is closed
)

// request is the content of one message: methods with their arguments, by module.
type request map[string]map[string]json.RawMessage

// parseRequest reads a request: methods by module.
func parseRequest(raw []byte) (request, error) {
	var r request
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, err
	}
	if r == nil {
		return nil, errors.New("null is no request")
	}
	return r, nil
}

// asks reports whether r changes nothing.
func (r request) asks() bool {
	for _, methods := range r {
		for m := range methods {
			if !strings.HasPrefix(m, "get_") {
				return false
			}
		}
	}
	return true
}

// answer runs a request.
func (d *iot) answer(ctx context.Context, r request) []byte {
	out := map[string]any{}
	for name, methods := range r {
		module := d.module(name)
		if module == nil {
			out[name] = d.model.noModule()
			continue
		}
		answers := map[string]any{}
		for method, args := range methods {
			answers[method] = module(ctx, method, args)
		}
		out[name] = answers
	}
	return encode(out)
}

// system answers the module "system".
func (d *iot) system(method string, args json.RawMessage) any {
	switch method {
	case "get_sysinfo":
		return d.sysinfo()
	case "set_dev_alias":
		var a struct{ Alias string }
		if json.Unmarshal(args, &a) != nil || a.Alias == "" || len(a.Alias) > 63 {
			return badArgument
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.alias = a.Alias
		return done
	case "reboot":
		d.endSession() // it signs in to its cloud anew
		return done
	case "set_relay_state":
		var a struct{ State *int }
		if json.Unmarshal(args, &a) != nil || a.State == nil || *a.State < 0 || *a.State > 1 {
			return badArgument
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.relay = *a.State
		return done
	}
	return d.model.noMember()
}

// iotSocket is an iot device that is on.
type iotSocket struct {
	d   *iot
	tcp net.Listener
	udp *net.UDPConn
}

// plug opens port 9999 for connections and datagrams.
func (d *iot) plug() (socket, error) {
	at := netip.AddrPortFrom(d.spec.Addr, home.IOT.Port())
	tcp, err := d.spec.open(at)
	if err != nil {
		return nil, err
	}
	udp, err := d.spec.openUDP(at)
	if err != nil {
		_ = tcp.Close()
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.out = udp
	d.connected = d.account.bound && d.online()
	return &iotSocket{d: d, tcp: tcp, udp: udp}, nil
}

func (s *iotSocket) Close() error {
	s.d.unplugged(s.udp)
	if s.udp == nil {
		return s.tcp.Close()
	}
	return errors.Join(s.tcp.Close(), s.udp.Close())
}

// unplugged takes note that the device answers there no more.
func (d *iot) unplugged(udp *net.UDPConn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.out == udp {
		d.out, d.connected = nil, false
	}
}

// serve answers connections and datagrams, and keeps the device signed in to its cloud.
func (s *iotSocket) serve(ctx context.Context) {
	var parts sync.WaitGroup
	defer parts.Wait()
	parts.Go(func() { s.d.keepSignedIn(ctx) })
	if s.udp != nil {
		parts.Go(func() { s.datagrams(ctx) })
	}
	free := make(chan struct{}, maxConns)
	for {
		c, err := s.tcp.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) || !pause(ctx, 10*time.Millisecond) {
				return
			}
			continue // out of files, perhaps: later there may be some
		}
		select {
		case free <- struct{}{}:
			parts.Go(func() { s.converse(ctx, c); <-free })
		default:
			_ = c.Close()
		}
	}
}

// pause waits and returns true, or false when ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// converse answers the requests of one connection, and closes it at anything else.
func (s *iotSocket) converse(ctx context.Context, c net.Conn) {
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	for {
		_ = c.SetDeadline(time.Now().Add(idle))
		raw, err := xor.ReadFrame(c, maxRequest)
		if err != nil {
			return
		}
		r, err := parseRequest(raw)
		if err != nil {
			return
		}
		raw, last := s.d.reply(ctx, r)
		if raw != nil && xor.WriteFrame(c, raw) != nil || last {
			return
		}
	}
}

// datagrams answers discovery probes that were sent to this device alone.
func (s *iotSocket) datagrams(ctx context.Context) {
	b := make([]byte, maxRequest)
	for {
		n, from, err := s.udp.ReadFromUDPAddrPort(b)
		if err != nil {
			if errors.Is(err, net.ErrClosed) || !pause(ctx, time.Millisecond) {
				return
			}
			continue
		}
		if r, err := parseRequest(xor.Open(b[:n])); err == nil {
			s.d.datagram(ctx, s.udp, r, from)
		}
	}
}

// reply runs a request and returns the answer, nil for none, and whether the connection ends with that.
func (d *iot) reply(ctx context.Context, r request) (raw []byte, last bool) {
	raw = d.answer(ctx, r)
	_, unbound := r[d.model.cloudModule()]["unbind"]
	switch {
	case d.spec.has(Mute):
		return nil, false
	case d.spec.has(Garbled):
		return raw[:len(raw)/2], false
	case d.spec.has(Faint) && unbound:
		return nil, true
	}
	return raw, d.spec.has(Curt)
}

func (d *iot) datagram(ctx context.Context, out *net.UDPConn, r request, to netip.AddrPort) {
	if raw, _ := d.reply(ctx, r); raw != nil {
		_, _ = out.WriteToUDPAddrPort(xor.Seal(raw), to)
	}
}

// answerBroadcast answers a broadcast, from the device's own address.
func (d *iot) answerBroadcast(ctx context.Context, r request, from netip.AddrPort) {
	d.mu.Lock()
	out := d.out
	d.mu.Unlock()
	if out != nil {
		d.datagram(ctx, out, r, from)
	}
}
