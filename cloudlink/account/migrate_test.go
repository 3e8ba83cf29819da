package account_test

import (
	"os"
	"path/filepath"
	"testing"
)

// TestAFileOfFormat1IsBroughtUpToDate opens a file that an earlier version wrote: Anna has two devices and a hub, a reset mail for her
// waits, and Bob has registered and not activated.
func TestAFileOfFormat1IsBroughtUpToDate(t *testing.T) {
	dir := t.TempDir()
	for from, to := range map[string]string{"format-1.db": "account.db", "account.key": "account.key"} {
		raw, err := os.ReadFile(filepath.Join("testdata", from))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, to), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := openAt(t, dir, nil, nil)
	c.mailed("Reset your password", 1)
	token := c.mailed("Activate your account", 1)[0]
	bob := p{"cloudUserName": "bob@example.org", "cloudPassword": password, "appType": "", "terminalUUID": ""}
	if code := c.call("", "login", bob, nil); code != -20691 {
		t.Errorf("Bob before activation: %d", code)
	}
	if code := c.call("", "activate", p{"token": token}, nil); code != 0 {
		t.Errorf("Bob's link: %d", code)
	}
	if code := c.call("", "login", bob, nil); code != 0 {
		t.Errorf("Bob after activation: %d", code)
	}
	anna, _, code := c.login(second, "Kasa_Android")
	if code != 0 {
		t.Fatalf("Anna: %d", code)
	}
	if listed, online := c.online(anna); listed != 3 || online != 1 {
		t.Errorf("%d devices, %d of them signed in; want 3 and 1", listed, online)
	}
}
