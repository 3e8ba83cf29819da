package device

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// endpoint answers a hub on the LAN: POST wire.EndpointPath, one signed message each way.
func (d *Device) endpoint() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+wire.EndpointPath, func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
		if err != nil {
			http.Error(w, "message too large", http.StatusRequestEntityTooLarge)
			return
		}
		m, err := wire.ParseMessage(raw)
		if err != nil || m.To != d.id.Name {
			http.Error(w, "not a message to this device", http.StatusBadRequest)
			return
		}
		var answer wire.Body
		switch b := m.Body.(type) {
		case *wire.Probe:
			answer = d.state(b)
		case *wire.Join:
			answer = &wire.Done{Code: d.join(m, b)}
		case *wire.Passed:
			d.link.ReceiveNotice(b.Notice) // signed by the service: anybody may pass it on
			d.nudged(b.Notice)
			answer = &wire.Done{}
		default:
			http.Error(w, "not a message for an endpoint", http.StatusBadRequest)
			return
		}
		out, err := d.id.Sign(&wire.Message{Re: m.ID, To: m.From, At: time.Now().UnixMilli(), Body: answer})
		if err != nil {
			http.Error(w, "no answer", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/jose")
		_, _ = w.Write(out)
	})
	return mux
}

// nudgePause is the least time between two hellos that a message on the LAN causes.
const nudgePause = 5 * time.Second

// nudged has the device send a hello to the service, after a notice of its account, old or new, that the service has
// signed: it may have missed an epoch, or may be unknown there.
func (d *Device) nudged(n wire.Notice) {
	a, err := d.m.Account()
	if err != nil || n.Verify(wire.Keys{Sign: a.ServiceKey, Seal: a.ServiceSeal}, string(a.ID)) != nil {
		return
	}
	now := time.Now().UnixNano()
	if last := d.asked.Load(); now-last > int64(nudgePause) && d.asked.CompareAndSwap(last, now) {
		d.link.Ask()
	}
}

// state describes the device and proves which epoch it holds, to a holder of the same epoch secret.
func (d *Device) state(p *wire.Probe) *wire.Statement {
	seal, _ := d.link.SealKey() // an empty key opens nothing
	s := &wire.Statement{
		Keys: wire.Keys{Sign: d.id.Keys.Sign, Seal: seal}, Kind: string(d.o.Kind), Model: d.o.Model, Name: d.o.Name,
	}
	a, err := d.m.Account()
	if err != nil {
		return s
	}
	s.Account = string(a.ID)
	creds, _ := d.m.Credentials(a.ID)
	if len(creds) > 0 {
		s.Epoch = uint64(creds[0].Epoch)
		s.Held = wire.HeldProof(creds[0].EpochSecret, s.Account, d.id.Name, s.Epoch, p.Nonce)
	}
	_, signedIn := d.m.epochs()
	s.SignedIn = uint64(signedIn)
	return s
}

// join joins the account that a hub names. A device that belongs to none joins the first that asks; one that belongs to
// an account takes new brokers of the same account and hub, and nothing else.
func (d *Device) join(m *wire.Message, b *wire.Join) (code string) {
	if err := m.Verify(wire.Keys{Sign: b.Sign}, d.id.Name); err != nil {
		return wire.CodeForged
	}
	plain, err := d.link.Open(wire.JoinInfo(m.From, d.id.Name), b.Sealed)
	if err != nil {
		return wire.CodeForged
	}
	var j wire.Joined
	if json.Unmarshal(plain, &j) != nil || len(j.Brokers) == 0 || j.Notice.Verify(j.Service, j.Account) != nil {
		return wire.CodeForged
	}
	for _, url := range wire.URLs(j.Brokers) {
		if _, err := mqtt.ParseBroker(url); err != nil {
			return wire.CodeForged
		}
	}
	switch changed, err := d.m.join(m.From, j); {
	case errors.Is(err, home.ErrForeign):
		return wire.CodeForeign
	case err != nil:
		d.o.Log.Error("account not joined", "err", err)
		return wire.CodeBusy
	case !changed:
		return ""
	}
	d.o.Log.Info("account joined", "hub", m.From)
	d.link.Rejoin()
	return ""
}
