// Package check plays a hub for a maker's device, and checks the rules of cloudlink/PROTOCOL.md that show at its
// endpoint. The device must belong to no account, and belongs to none afterwards: it is never asked to join validly.
package check

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// Result is one rule with its outcome: nil for a device that keeps it.
type Result struct {
	Rule    string
	Section string // of cloudlink/PROTOCOL.md
	Err     error
}

// hub is a hub that the device does not know.
type hub struct {
	addr string
	http *http.Client
	id   *wire.Identity
	key  ed25519.PrivateKey
	name string // of the device
}

// rules are all rules, in the order in which they are checked. The first one is the precondition of the others.
var rules = []struct {
	section, rule string
	check         func(*hub, context.Context) error
}{
	{"statement", "a probe is answered with a signed statement whose key gives the device's name", (*hub).statement},
	{"A device's endpoint", "the answer has status 200 and Content-Type application/jose", (*hub).contentType},
	{"keys", "the name and the keys are the same in each statement", (*hub).sameKeys},
	{"statement", "kind is camera, plug, switch, bulb or other; model and name have at most 256 bytes", (*hub).texts},
	{"statement", "a device without an account states no account, epoch and proof", (*hub).free},
	{"A device's endpoint", "a body that is no envelope gets status 400", (*hub).garbage},
	{"A device's endpoint", "an envelope to another device gets status 400", (*hub).another},
	{"A device's endpoint", "a body of more than 65536 bytes gets status 413", (*hub).large},
	{"Signatures", "a header with a further member is refused", (*hub).furtherMember},
	{"Signatures", "alg none is refused", (*hub).algNone},
	{"Signatures", "a signature of another typ is refused", (*hub).otherTyp},
	{"Signatures", "a payload with the same member twice is refused", (*hub).twice},
	{"Signatures", "a member that the device does not know is ignored", (*hub).unknownMember},
	{"join", "a join whose key does not fit its sender is answered with forged", (*hub).joinOfAnother},
	{"join", "a join whose seal does not open is answered with forged", (*hub).joinUnsealed},
	{"join", "a join with a notice of another service is answered with forged", (*hub).joinForged},
	{"notice", "a notice of a service that the device does not know is answered with done", (*hub).strangeNotice},
	{"join", "after all of this the device belongs to no account", (*hub).free},
}

// Run checks the device of that name at host:port. It stops after the first rule where that fails.
func Run(ctx context.Context, addr, name string) ([]Result, error) {
	seed := wire.NewSeed()
	id, err := wire.NewIdentity(wire.RoleHub, seed, wire.NewSeed())
	if err != nil {
		return nil, err
	}
	h := &hub{
		addr: addr, http: &http.Client{Timeout: 10 * time.Second}, id: id, key: ed25519.NewKeyFromSeed(seed), name: name,
	}
	var results []Result
	for i, r := range rules {
		err := r.check(h, ctx)
		results = append(results, Result{r.rule, r.section, err})
		if i == 0 && err != nil || ctx.Err() != nil {
			break
		}
	}
	return results, ctx.Err()
}

// post sends a body to the endpoint.
func (h *hub) post(ctx context.Context, body []byte) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+h.addr+wire.EndpointPath, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Content-Type", "application/jose")
	resp, err := h.http.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return resp, raw, err
}

// ask sends a message, and returns the answer to it, which the device has signed.
func (h *hub) ask(ctx context.Context, b wire.Body) (*wire.Message, error) {
	out := &wire.Message{To: h.name, At: time.Now().UnixMilli(), Body: b}
	raw, err := h.id.Sign(out)
	if err != nil {
		return nil, err
	}
	return h.answer(ctx, out.ID, raw)
}

func (h *hub) answer(ctx context.Context, id string, raw []byte) (*wire.Message, error) {
	resp, in, err := h.post(ctx, raw)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %s, want 200", resp.Status)
	}
	m, err := wire.ParseMessage(in)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the answer is no envelope: %w", err)
	case m.Re != id:
		return nil, fmt.Errorf("re is %q, want the id of the message, %q", m.Re, id)
	case m.From != h.name:
		return nil, fmt.Errorf("from is %q, want %q", m.From, h.name)
	case m.To != h.id.Name:
		return nil, fmt.Errorf("to is %q, want the sender of the message, %q", m.To, h.id.Name)
	}
	return m, nil
}

// stated probes the device.
func (h *hub) stated(ctx context.Context) (*wire.Statement, error) {
	m, err := h.ask(ctx, &wire.Probe{Nonce: wire.NewNonce()})
	if err != nil {
		return nil, err
	}
	s, ok := m.Body.(*wire.Statement)
	if !ok {
		return nil, fmt.Errorf("answered with a %s, want a statement", m.Type)
	}
	return s, m.Verify(s.Keys, h.id.Name)
}

// refuses sends a body that the device must answer with a status.
func (h *hub) refuses(ctx context.Context, body []byte, status int) error {
	resp, _, err := h.post(ctx, body)
	switch {
	case err != nil && status == http.StatusRequestEntityTooLarge:
		return nil // it closed the connection while the body was on its way
	case err != nil:
		return err
	case resp.StatusCode != status:
		return fmt.Errorf("status %d, want %d", resp.StatusCode, status)
	}
	return nil
}

// jws signs a payload under any header.
func (h *hub) jws(header, payload string) []byte {
	enc := base64.RawURLEncoding
	text := enc.EncodeToString([]byte(header)) + "." + enc.EncodeToString([]byte(payload))
	return []byte(text + "." + enc.EncodeToString(ed25519.Sign(h.key, []byte(text))))
}

const header = `{"alg":"EdDSA","typ":"rekeyd-endpoint"}`

// probe returns the payload of a probe with further members before its end, and its id.
func (h *hub) probe(further string) (id, payload string) {
	id = wire.NewID()
	nonce, _ := json.Marshal(wire.NewNonce()) // cannot fail
	return id, fmt.Sprintf(`{"type":"probe","id":%q,"from":%q,"to":%q,"at":%d,"body":{"nonce":%s}%s}`, id, h.id.Name,
		h.name, time.Now().UnixMilli(), nonce, further)
}

// code returns the code of the device's done.
func (h *hub) code(ctx context.Context, b wire.Body, want string) error {
	m, err := h.ask(ctx, b)
	if err != nil {
		return err
	}
	done, ok := m.Body.(*wire.Done)
	switch {
	case !ok:
		return fmt.Errorf("answered with a %s, want done", m.Type)
	case done.Code != want:
		return fmt.Errorf("code %q, want %q", done.Code, want)
	}
	return nil
}

var errAccount = errors.New("it belongs to an account: reset it to the factory's state, and check it again")

// validKind returns an error for a kind that the protocol does not have.
func validKind(s string) error {
	_, err := home.ParseKind(s)
	return err
}
