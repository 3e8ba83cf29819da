package tapocam_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/sim"
	"github.com/rekeyd/rekeyd/devices/tapocam"
)

// Of 14 recorded answers 12 have no key and two a PEM text; clients also read base64 of the DER: devices/PROTOCOLS.md,
// section 10.3.
func TestACameraIsMovedWhateverKeyItGives(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	for name, defects := range map[string][]sim.Defect{
		"none": nil, "PEM": {sim.PEMKey}, "DER": {sim.DERKey}, "none, MD5": {sim.MD5},
		"DER, and firmware that encrypts nothing": {sim.Hashed, sim.DERKey},
	} {
		t.Run(name, func(t *testing.T) {
			s := play(t, camera("old-password", defects...))[0]
			defer s.PowerOff()
			d := driver(t, tapocam.Options{})
			if err := d.Rekey(t.Context(), seen(s), move); err != nil || !s.Holds(email, newPair.Password) {
				t.Errorf("got %v", err)
			}
			expect(t, probe(t, d, seen(s), both), home.Ours, home.Current, 5)
		})
	}
}

// The vendor's key protects nothing by itself: firmware that gives no key, and encrypts nothing, receives no password.
func TestThePasswordIsNotSentUnderTheVendorsKeyAlone(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	s := play(t, camera("old-password", sim.Hashed))[0]
	err := driver(t, tapocam.Options{}).Rekey(t.Context(), seen(s), move)
	if !errors.Is(err, home.ErrRefused) || !strings.Contains(home.HintOf(err), "in its own app") {
		t.Errorf("got %v, hint %q", err, home.HintOf(err))
	}
	if slices.Contains(s.Commands(), "changeAdminPassword") || !s.Holds(email, oldPair.Password) {
		t.Errorf("it was sent %q", s.Commands())
	}
}

func TestACameraThatRefusesAMoveHasAHint(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	s := play(t, camera("old-password", sim.Stubborn))[0]
	err := driver(t, tapocam.Options{}).Rekey(t.Context(), seen(s), move)
	if !errors.Is(err, home.ErrRefused) || !strings.Contains(home.HintOf(err), "in its own app") {
		t.Errorf("got %v, hint %q", err, home.HintOf(err))
	}
}

// pkix returns a public key as base64 of the DER, and as PEM.
func pkix(t *testing.T, key any) (der, text string) {
	t.Helper()
	raw, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(raw),
		string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: raw}))
}

// scanned returns the answer of a camera to scanApList.
func scanned(t *testing.T, scan map[string]any) string {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"onboarding": map[string]any{"scan": scan}})
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// Something else in the place of a key is not taken for none: the camera receives no password.
func TestNoPasswordIsEncryptedWithAnUnfitKey(t *testing.T) {
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, otherText := pkix(t, curve.Public())
	for name, key := range map[string]any{
		"rubbish": "AAAA", "no base64": "%%", "another kind": other, "another kind as PEM": otherText, "a number": 7,
	} {
		raw := scanned(t, map[string]any{"public_key": key})
		requests := 0
		dev := insider(t, func(w http.ResponseWriter, seal func(string) string) {
			requests++
			_, _ = io.WriteString(w, passed(seal(fmt.Sprintf(inner, strings.TrimSuffix(raw, "}")+","+me+"}"))))
		})
		err := driver(t, tapocam.Options{}).Rekey(t.Context(), dev, move)
		if !errors.Is(err, home.ErrRefused) && !errors.Is(err, home.ErrUnreachable) || requests != 2 {
			t.Errorf("%s: got %v after %d requests", name, err, requests)
		}
	}
}
