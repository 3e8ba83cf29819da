package sim

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/xor"
)

// kasacamLogin is the one pair that they all have: "admin" and its MD5 (devices/PROTOCOLS.md, section 5.1).
const kasacamLogin = "Basic YWRtaW46MjEyMzJmMjk3YTU3YTVhNzQzODk0YTBlNGE4MDFmYzM="

// kasacam is a Kasa camera: what an iot camera answers, asked over LINKIE. On port 9999 it answers the datagrams of
// discovery probes; one of the iot protocol takes connections there, too.
type kasacam struct {
	*iot
	alsoIOT bool
}

func newKasacam(o Options, s Spec) *kasacam {
	return &kasacam{newIOT(o, s), s.Protocol == home.IOT}
}

// checkKasacam returns the errors of a spec for a Kasa camera.
func checkKasacam(s Spec) error {
	if s.Kind != home.Camera {
		return fmt.Errorf("field %q: no %s speaks kasacam: cameras do", "kind", s.Kind)
	}
	if _, err := modelOf(s.Kind, s.Model); err != nil {
		return fmt.Errorf("field %q: %w", "model", err)
	}
	if s.Locks != 0 {
		return fmt.Errorf("field %q: a kasacam device knows no sign-in of its owner", "locks")
	}
	return checkDefects(s.Defects, []Defect{Garbled, Impostor})
}

func (d *kasacam) port() uint16 {
	if d.alsoIOT {
		return home.IOT.Port()
	}
	return home.KasaCam.Port()
}

// announcement is empty: no mDNS is known of these cameras.
func (d *kasacam) announcement() announcement {
	if d.alsoIOT {
		return d.iot.announcement()
	}
	return announcement{}
}

// plug opens LINKIE over TLS, with the cipher suites that these cameras have, and port 9999.
func (d *kasacam) plug() (_ socket, err error) {
	t, err := selfSigned(
		d.spec.Name, tls.TLS_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_RSA_WITH_AES_128_CBC_SHA256, tls.TLS_RSA_WITH_AES_256_CBC_SHA,
	)
	if err != nil {
		return nil, err
	}
	w, err := plugWeb(d.spec, home.KasaCam.Port(), d, t)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = w.Close()
		}
	}()
	if d.alsoIOT {
		s, err := d.iot.plug()
		return &kasacamSocket{web: w, iot: s}, err
	}
	udp, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(d.spec.Addr, home.IOT.Port())))
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.out, d.connected = udp, d.account.bound && d.online()
	d.mu.Unlock()
	return &kasacamSocket{web: w, iot: &deafSocket{d.iot, udp}}, nil
}

// kasacamSocket is a Kasa camera that is on.
type kasacamSocket struct{ web, iot socket }

func (s *kasacamSocket) Close() error { return errors.Join(s.web.Close(), s.iot.Close()) }

func (s *kasacamSocket) serve(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() { s.iot.serve(ctx) })
	s.web.serve(ctx)
	_ = s.iot.Close()
	both.Wait()
}

// deafSocket takes no connections on port 9999, only datagrams.
type deafSocket struct {
	d   *iot
	udp *net.UDPConn
}

func (s *deafSocket) Close() error {
	s.d.unplugged(s.udp)
	return s.udp.Close()
}

func (s *deafSocket) serve(ctx context.Context) {
	s.d.signedInDuring(ctx, (&iotSocket{d: s.d, udp: s.udp}).datagrams)
}

// ServeHTTP answers LINKIE: XOR and base64 in a form, over TLS (devices/PROTOCOLS.md, section 5.1).
func (d *kasacam) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	switch {
	case err != nil || r.Method != http.MethodPost || r.URL.Path != "/data/LINKIE2.json":
		w.WriteHeader(http.StatusNotFound)
		return
	case r.Header.Get("Authorization") != kasacamLogin:
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	form, err := url.ParseQuery(string(raw))
	sealed, err2 := base64.StdEncoding.DecodeString(form.Get("content"))
	if err != nil || err2 != nil {
		_, _ = io.WriteString(w, `{"err_code":-10006,"err_msg":"Invalid content."}`) // in the clear, as theirs are
		return
	}
	plain := xor.Open(sealed)
	q, err := parseRequest(plain)
	if err != nil || bytes.Contains(plain, []byte("null")) { // they want {} for nothing
		_, _ = io.WriteString(w, `{"err_code":-10008,"err_msg":"Unsupported API call."}`)
		return
	}
	out := d.answer(r.Context(), q)
	if d.spec.has(Garbled) {
		out = out[:len(out)/2]
	}
	_, _ = io.WriteString(w, base64.StdEncoding.EncodeToString(xor.Seal(out)))
}
