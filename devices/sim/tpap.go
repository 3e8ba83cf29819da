package sim

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// tpap is a device whose firmware speaks TPAP only: devices/PROTOCOLS.md, section 11. It says who it is, and lets nobody in here: the rest of the
// protocol is not played.
type tpap struct {
	spec Spec
	mac  net.HardwareAddr

	mu       sync.Mutex // guards what follows
	username string
	password home.Secret
}

func newTPAP(s Spec, _ *slog.Logger) *tpap {
	if s.Model == "" {
		s.Model = map[home.Kind]string{home.Plug: "P110M", home.Switch: "S505", home.Bulb: "L535", home.Camera: "C101"}[s.Kind]
	}
	a := s.Addr.As4()
	return &tpap{spec: s, mac: net.HardwareAddr{0x3c, 0x6a, 0xd2, a[1], a[2], a[3]}, username: s.Username, password: s.Password}
}

func checkTPAP(s Spec) error {
	if s.Kind == home.Other {
		return fmt.Errorf("field %q: no %s speaks tpap here: plug, switch, bulb and camera do", "kind", s.Kind)
	}
	if s.Locks != 0 {
		return fmt.Errorf("field %q: a tpap device lets nobody sign in here", "locks")
	}
	return checkDefects(s.Defects, []Defect{Garbled, Impostor})
}

func (d *tpap) id() home.DeviceID { return home.DeviceID("mac-" + hex.EncodeToString(d.mac)) }

func (d *tpap) port() uint16 { return webPort(home.TPAP.Port()) }

// announcement is empty: no mDNS is known of these devices.
func (d *tpap) announcement() announcement { return announcement{} }

func (d *tpap) holds() (string, home.Secret) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.username, d.password
}

func (d *tpap) hold(username string, password home.Secret) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.username, d.password = username, password
}

func (d *tpap) plug() (socket, error) {
	t, err := selfSigned(d.spec.Name)
	if err != nil {
		return nil, err
	}
	return plugWeb(netip.AddrPortFrom(d.spec.Addr, webPort(home.TPAP.Port())), d, t)
}

func (d *tpap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	var q struct {
		Method string
		Params struct {
			Sub string `json:"sub_method"`
		}
	}
	if err != nil || r.Method != http.MethodPost || r.URL.Path != "/" || json.Unmarshal(raw, &q) != nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if q.Method != "login" || q.Params.Sub != "discover" {
		_, _ = io.WriteString(w, `{"error_code":-40418}`)
		return
	}
	mac := slices.Clone(d.mac)
	if d.spec.has(Impostor) {
		mac[2] ^= 0xff
	}
	out, err := json.Marshal(map[string]any{"error_code": 0, "result": map[string]any{
		"mac":  strings.ToUpper(strings.ReplaceAll(mac.String(), ":", "-")),
		"tpap": map[string]any{"tls": 1, "port": webPort(home.TPAP.Port()), "dac": 0, "pake": []int{2}, "user_hash_type": 0},
	}})
	if err != nil {
		panic("an answer of texts and numbers: " + err.Error())
	}
	if d.spec.has(Garbled) {
		out = out[:len(out)/2]
	}
	_, _ = w.Write(out)
}
