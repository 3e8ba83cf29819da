package check

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/wire"
)

func (h *hub) statement(ctx context.Context) error {
	s, err := h.stated(ctx)
	switch {
	case err != nil:
		return err
	case len(s.Keys.Seal) != 32:
		return fmt.Errorf("keys.seal has %d bytes, want 32", len(s.Keys.Seal))
	}
	return nil
}

func (h *hub) contentType(ctx context.Context) error {
	_, payload := h.probe("")
	resp, _, err := h.post(ctx, h.jws(header, payload))
	if err != nil {
		return err
	}
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || got != "application/jose" {
		return fmt.Errorf("status %d, Content-Type %q", resp.StatusCode, got)
	}
	return nil
}

func (h *hub) sameKeys(ctx context.Context) error {
	first, err := h.stated(ctx)
	if err != nil {
		return err
	}
	second, err := h.stated(ctx)
	if err != nil {
		return err
	}
	if !bytes.Equal(first.Keys.Sign, second.Keys.Sign) || !bytes.Equal(first.Keys.Seal, second.Keys.Seal) {
		return errors.New("two statements have different keys")
	}
	return nil
}

func (h *hub) texts(ctx context.Context) error {
	s, err := h.stated(ctx)
	switch {
	case err != nil:
		return err
	case len(s.Model) > 256 || len(s.Name) > 256:
		return errors.New("model or name is longer than 256 bytes")
	}
	return validKind(s.Kind)
}

func (h *hub) free(ctx context.Context) error {
	s, err := h.stated(ctx)
	switch {
	case err != nil:
		return err
	case s.Account != "":
		return errAccount
	case s.Epoch != 0 || len(s.Held) > 0 || s.SignedIn != 0:
		return errors.New("it states an epoch or a proof without an account")
	}
	return nil
}

func (h *hub) garbage(ctx context.Context) error {
	for _, body := range []string{"", "x", "{}", "a.b.c", "e30.e30.e30"} {
		if err := h.refuses(ctx, []byte(body), http.StatusBadRequest); err != nil {
			return fmt.Errorf("%q: %w", body, err)
		}
	}
	return nil
}

func (h *hub) another(ctx context.Context) error {
	_, payload := h.probe("")
	other := strings.Replace(payload, h.name, "rk-"+strings.Repeat("a", 26), 1)
	return h.refuses(ctx, h.jws(header, other), http.StatusBadRequest)
}

func (h *hub) large(ctx context.Context) error {
	return h.refuses(ctx, bytes.Repeat([]byte("x"), 65537), http.StatusRequestEntityTooLarge)
}

func (h *hub) furtherMember(ctx context.Context) error {
	_, payload := h.probe("")
	for _, member := range []string{`"kid":"x"`, `"crit":["x"]`, `"jwk":{}`, `"alg":"EdDSA"`} {
		further := strings.TrimSuffix(header, "}") + "," + member + "}"
		if err := h.refuses(ctx, h.jws(further, payload), http.StatusBadRequest); err != nil {
			return fmt.Errorf("%s: %w", member, err)
		}
	}
	return nil
}

func (h *hub) algNone(ctx context.Context) error {
	_, payload := h.probe("")
	none := h.jws(strings.Replace(header, "EdDSA", "none", 1), payload)
	unsigned := none[:bytes.LastIndexByte(none, '.')+1]
	return errors.Join(h.refuses(ctx, none, http.StatusBadRequest), h.refuses(ctx, unsigned, http.StatusBadRequest))
}

func (h *hub) otherTyp(ctx context.Context) error {
	_, payload := h.probe("")
	other := strings.Replace(header, "rekeyd-endpoint", "rekeyd-message", 1)
	return h.refuses(ctx, h.jws(other, payload), http.StatusBadRequest)
}

func (h *hub) twice(ctx context.Context) error {
	_, payload := h.probe(`,"type":"probe"`)
	return h.refuses(ctx, h.jws(header, payload), http.StatusBadRequest)
}

func (h *hub) unknownMember(ctx context.Context) error {
	id, payload := h.probe(`,"later":{"a":[1]}`)
	_, err := h.answer(ctx, id, h.jws(header, payload))
	return err
}

// sealed returns an invitation that is sealed to the device, with a notice that this service signed.
func (h *hub) sealed(ctx context.Context, service, signer *wire.Identity) ([]byte, error) {
	s, err := h.stated(ctx)
	if err != nil {
		return nil, err
	}
	notice := signer.SignNotice(wire.Notice{Account: "check", Epoch: 1, At: 1, Cause: "registered", Via: "web"})
	joined, err := json.Marshal(wire.Joined{
		Account: "check", Service: service.Keys, Brokers: wire.Brokers([]string{"mqtt://127.0.0.1:1"}), Notice: notice,
	})
	if err != nil {
		return nil, err
	}
	return s.Keys.SealTo(wire.JoinInfo(h.id.Name, h.name), joined)
}

func newService() (*wire.Identity, error) {
	return wire.NewIdentity(wire.RoleService, wire.NewSeed(), wire.NewSeed())
}

func (h *hub) joinOfAnother(ctx context.Context) error {
	service, err := newService()
	if err != nil {
		return err
	}
	sealed, err := h.sealed(ctx, service, service)
	if err != nil {
		return err
	}
	return h.code(ctx, &wire.Join{Sign: service.Keys.Sign, Sealed: sealed}, wire.CodeForged)
}

func (h *hub) joinUnsealed(ctx context.Context) error {
	service, err := newService()
	if err != nil {
		return err
	}
	sealed, err := h.sealed(ctx, service, service)
	if err != nil {
		return err
	}
	sealed[len(sealed)-1] ^= 1
	return h.code(ctx, &wire.Join{Sign: h.id.Keys.Sign, Sealed: sealed}, wire.CodeForged)
}

func (h *hub) joinForged(ctx context.Context) error {
	service, err := newService()
	other, oerr := newService()
	if err := errors.Join(err, oerr); err != nil {
		return err
	}
	sealed, err := h.sealed(ctx, service, other)
	if err != nil {
		return err
	}
	return h.code(ctx, &wire.Join{Sign: h.id.Keys.Sign, Sealed: sealed}, wire.CodeForged)
}

func (h *hub) strangeNotice(ctx context.Context) error {
	service, err := newService()
	if err != nil {
		return err
	}
	notice := service.SignNotice(wire.Notice{
		Account: "check", Epoch: 2, At: time.Now().UnixMilli(), Cause: "reset", Via: "web", Prev: make([]byte, 32),
	})
	m, err := h.ask(ctx, &wire.Passed{Notice: notice})
	if err != nil {
		return err
	}
	if _, ok := m.Body.(*wire.Done); !ok {
		return fmt.Errorf("answered with a %s, want done", m.Type)
	}
	return nil
}
