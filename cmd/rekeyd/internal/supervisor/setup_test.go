package supervisor

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rekeyd/rekeyd/devices/discover/nettest"
)

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// check runs a program on a file with this content. Without the program, which a Debian package has, the test is
// skipped, except in CI.
func check(t *testing.T, debian, name, content, program string, options ...string) string {
	t.Helper()
	tool, err := exec.LookPath(program)
	if err != nil {
		nettest.Missing(t, "%s is missing (Debian: %s)", program, debian)
	}
	path := filepath.Join(t.TempDir(), name)
	ok(t, os.WriteFile(path, []byte(content), 0o600))
	out, err := exec.Command(tool, append(slices.Clone(options), path)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(options, " "), err, out)
	}
	return string(out)
}

// analyze runs systemd-analyze on a unit.
func analyze(t *testing.T, unit, verb string, options ...string) string {
	t.Helper()
	return check(t, "systemd", "rekeyd.service", unit, "systemd-analyze", append([]string{verb}, options...)...)
}

// maxExposure is the promise of issue and README: systemd rates a unit from 0 (locked away) to 10 (unsafe).
const maxExposure = 1.5

func TestTheUnitIsRatedAsSandboxed(t *testing.T) {
	unit, err := Setup{Binary: "/bin/sh"}.Unit()
	ok(t, err)
	out := analyze(t, unit, "security", "--offline=true", "--no-pager")
	m := regexp.MustCompile(`Overall exposure level for rekeyd.service: ([0-9.]+)`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no rating in:\n%s", out)
	}
	if rating, err := strconv.ParseFloat(m[1], 64); err != nil || rating >= maxExposure {
		t.Errorf("exposure %s, want less than %v\n%s", m[1], maxExposure, out)
	}
}

func TestSystemdFindsNoFaultInTheUnit(t *testing.T) {
	unit, err := Setup{Binary: "/bin/sh", Args: []Arg{
		{Name: "interface", Value: "eth0"},
		{Name: "policy", Value: "/etc/rekeyd/policy.json", File: true},
		{Name: "mail-from", Value: `A "house" of 100% <$HOME@example.org>`},
	}}.Unit()
	ok(t, err)
	if out := strings.TrimSpace(analyze(t, unit, "verify", "--man=no")); out != "" {
		t.Error(out)
	}
	want := `ExecStart=/bin/sh run --interface=eth0 --policy=${CREDENTIALS_DIRECTORY}/policy ` +
		`"--mail-from=A \"house\" of 100%% <$$HOME@example.org>"`
	for _, line := range []string{
		want, "LoadCredential=rekeyd-vault:/etc/rekeyd/rekeyd-vault", "LoadCredential=policy:/etc/rekeyd/policy.json",
	} {
		if !slices.Contains(strings.Split(unit, "\n"), line) {
			t.Errorf("no line %s in:\n%s", line, unit)
		}
	}
}

func TestAUnitWithoutACredentialNamesNone(t *testing.T) {
	unit, err := Setup{Binary: "/bin/sh", NoVault: true}.Unit()
	ok(t, err)
	if strings.Contains(unit, "LoadCredential") {
		t.Error(unit)
	}
}

func TestOptionsThatTheSandboxForbidsAreRefused(t *testing.T) {
	for _, a := range []Arg{
		{Name: "state", Value: "/srv/rekeyd"},
		{Name: "mail-dir", Value: "/srv/mail"},
		{Name: "policy", Value: "policy.json", File: true},
		{Name: "policy", Value: "/etc/a:b", File: true},
		{Name: "policy", Value: "/etc/100%", File: true},
	} {
		_, err := Setup{Binary: "/bin/sh", Args: []Arg{a}}.Unit()
		if err == nil || !strings.Contains(err.Error(), "--"+a.Name) {
			t.Errorf("%+v: %v", a, err)
		}
	}
}

func TestNoStateOfARouterIsInMemory(t *testing.T) {
	for _, a := range []Arg{
		{Name: "state", Value: "/tmp/rekeyd"},
		{Name: "mail-dir", Value: "/tmp/mail"},
		{Name: "policy", Value: "/var/policy.json", File: true},
		{Name: "tls", Value: "hub.pem", File: true},
	} {
		_, err := Setup{Binary: "/usr/bin/rekeyd", Args: []Arg{a}}.Procd()
		if err == nil || !strings.Contains(err.Error(), "--"+a.Name) {
			t.Errorf("%+v: %v", a, err)
		}
	}
	script, err := Setup{Binary: "/usr/bin/rekeyd", Args: []Arg{
		{Name: "policy", Value: "/etc/policy.json", File: true}, {Name: "mail-dir", Value: "/mnt/usb/mail"},
	}}.Procd()
	ok(t, err)
	for _, volatile := range []string{"/tmp", "/var"} {
		if strings.Contains(script, volatile) {
			t.Errorf("%s in:\n%s", volatile, script)
		}
	}
}

// initScript is a script with the characters that a shell treats specially.
func initScript(t *testing.T, odd string) string {
	t.Helper()
	script, err := Setup{Binary: "/opt/my tools/rekeyd", Args: []Arg{
		{Name: "interface", Value: "br-lan"}, {Name: "mail-from", Value: odd},
	}}.Procd()
	ok(t, err)
	return script
}

// TestShellsFindNoFaultInTheInitScript has the script read by OpenWrt's shell and by shellcheck. Excluded are variables
// that only rc.common reads, and local, which ash has.
func TestShellsFindNoFaultInTheInitScript(t *testing.T) {
	script := initScript(t, `it's "100%" $HOME; \n`)
	check(t, "busybox", "rekeyd", script, "busybox", "ash", "-n")
	options := []string{"--shell=dash", "--severity=warning", "--exclude=SC2034,SC3043"}
	if out := check(t, "shellcheck", "rekeyd", script, "shellcheck", options...); out != "" {
		t.Error(out)
	}
}

// TestTheInitScriptStartsTheCommand runs the script in a shell, with functions that print their arguments in the place
// of OpenWrt's.
func TestTheInitScriptStartsTheCommand(t *testing.T) {
	odd := `it's "100%" $HOME; \n`
	script := initScript(t, odd)
	if !strings.HasPrefix(script, "#!/bin/sh /etc/rc.common\n") || !strings.Contains(script, "\nUSE_PROCD=1\n") {
		t.Errorf("no script of procd:\n%s", script)
	}
	path := filepath.Join(t.TempDir(), "rekeyd")
	ok(t, os.WriteFile(path, []byte(script), 0o600))
	stubs := `
show() { for word; do printf '[%s]' "$word"; done; echo; }
for f in user_add mkdir chmod chown procd_open_instance procd_set_param procd_close_instance; do
	eval "$f() { show $f \"\$@\"; }"
done
group_add_next() { echo 32768; }
user_exists() { false; }
`
	out, err := exec.Command("sh", "-euc", stubs+". "+path+"; start_service").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"[user_add][rekeyd][][32768][rekeyd][/etc/rekeyd][/bin/false]",
		"[chown][-R][rekeyd:rekeyd][/etc/rekeyd]",
		"[procd_set_param][command][/opt/my tools/rekeyd][run][--state=/etc/rekeyd][--interface=br-lan]" +
			"[--mail-from=" + odd + "]",
		"[procd_set_param][user][rekeyd]",
		"[procd_set_param][respawn][3600][5][0]",
		"[procd_close_instance]",
	} {
		if !strings.Contains(string(out), want+"\n") {
			t.Errorf("no %s in:\n%s", want, out)
		}
	}
}

func TestAFileIsNeverReplacedUnasked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "etc", "rekeyd", "file")
	for _, c := range []struct {
		content, did string
		replace      bool
		err          error
	}{
		{"one", "Wrote", false, nil},
		{"one", "Unchanged", false, nil},
		{"two", "", false, ErrDifferent},
		{"two", "Replaced", true, nil},
	} {
		did, err := Place(path, []byte(c.content), 0o600, c.replace)
		if did != c.did || err != c.err {
			t.Errorf("%+v: %q, %v", c, did, err)
		}
	}
	got, err := os.ReadFile(path)
	ok(t, err)
	st, err := os.Stat(path)
	ok(t, err)
	folder, err := os.Stat(filepath.Dir(path))
	ok(t, err)
	left, err := os.ReadDir(filepath.Dir(path))
	ok(t, err)
	if string(got) != "two" || st.Mode().Perm() != 0o600 || folder.Mode().Perm() != 0o700 || len(left) != 1 {
		t.Errorf("%q with mode %v in a folder of mode %v with %d files", got, st.Mode(), folder.Mode(), len(left))
	}
}
