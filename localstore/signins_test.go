package localstore_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

func TestSignInsAreKeptSealedWhileTheDeviceIsBound(t *testing.T) {
	const id = "mac-000000000001"
	dir := t.TempDir()
	s := enrolled(t, dir, id)
	left := 3
	kept := home.SignIns{
		Verifier: "v", Owner: "o", Accepted: home.NewSecret("canary accepted"), LastRefused: time.Unix(7, 0).UTC(),
		Left:    &left,
		Refused: []home.Refusal{{Credential: home.NewSecret("canary refused"), At: time.Unix(7, 0).UTC()}},
	}
	must(t, s.SaveSignIns(id, kept))
	s = reopen(t, s, dir)
	got, err := s.SignIns(id)
	must(t, err)
	equal(t, "sign-ins", got, kept)
	must(t, s.Retry([]home.DeviceID{id}, true))
	got, err = s.SignIns(id)
	must(t, err)
	kept.Refused = nil
	equal(t, "sign-ins after an order", got, kept)
	if raw, err := os.ReadFile(filepath.Join(dir, "rekeyd.db")); err != nil || strings.Contains(string(raw), "canary") {
		t.Errorf("a credential lies in the file in the clear, or: %v", err)
	}
	must(t, s.Unbind([]home.DeviceID{id}))
	for _, id := range []home.DeviceID{id, "mac-000000000002"} { // was unbound, was never bound
		must(t, s.SaveSignIns(id, kept))
		got, err = s.SignIns(id)
		must(t, err)
		equal(t, "sign-ins of "+string(id), got, home.SignIns{})
	}
}
