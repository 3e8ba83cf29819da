package sim_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/sim"
	"github.com/rekeyd/rekeyd/devices/xor"
)

const (
	who    = `{"system":{"get_sysinfo":{}}}`
	whose  = `{"cnCloud":{"get_info":{}}}`
	unbind = `{"cnCloud":{"unbind":{}}}`
)

// broken returns a plug with a defect, which holds the pair a@b.c, old.
func broken(t *testing.T, c sim.Cloud, defect sim.Defect) *sim.Device {
	t.Helper()
	return live(t, sim.Options{Cloud: c}, sim.Spec{
		Kind: home.Plug, Protocol: home.IOT, Username: "a@b.c", Password: home.NewSecret("old"),
		Defects: []sim.Defect{defect},
	}).Devices()[0]
}

// line is a connection to a device.
func line(t *testing.T, d *sim.Device, wait time.Duration) (ask func(string) (string, error)) {
	t.Helper()
	c, err := net.Dial("tcp", d.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return func(request string) (string, error) {
		_ = c.SetDeadline(time.Now().Add(wait))
		if err := xor.WriteFrame(c, []byte(request)); err != nil {
			return "", err
		}
		raw, err := xor.ReadFrame(c, 1<<20)
		return string(raw), err
	}
}

func TestDefectsAreWhatTheySay(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	holds := func(d *sim.Device, password string) bool { return d.Holds("a@b.c", home.NewSecret(password)) }
	for defect, wrong := range map[sim.Defect]func(*testing.T, *cloud, *sim.Device) string{
		sim.Mute: func(t *testing.T, _ *cloud, d *sim.Device) string {
			got, err := line(t, d, 100*time.Millisecond)(unbind)
			if n, ok := errors.AsType[net.Error](err); !ok || !n.Timeout() || d.Username() != "" {
				return got + ": want silence, and it done"
			}
			return ""
		},
		sim.Garbled: func(t *testing.T, _ *cloud, d *sim.Device) string {
			if got := ask(t, d, who); got == "" || strings.HasSuffix(got, "}}}") {
				return got
			}
			return ""
		},
		sim.Impostor: func(t *testing.T, _ *cloud, d *sim.Device) string {
			if got := ask(t, d, who); strings.Contains(got, "50:C7:BF:35:00:") || !strings.Contains(got, `:35:00:0`) {
				return got
			}
			return ""
		},
		sim.Curt: func(t *testing.T, _ *cloud, d *sim.Device) string {
			ask := line(t, d, 5*time.Second)
			if got, err := ask(who); err != nil {
				return got + err.Error()
			}
			if got, err := ask(who); err == nil {
				return "answered again: " + got
			}
			return ""
		},
		sim.Busy: func(t *testing.T, _ *cloud, d *sim.Device) string {
			if got := ask(t, d, unbind); code(t, got) != -32 || d.Username() == "" {
				return got
			}
			if got := ask(t, d, unbind); code(t, got) != 0 || d.Username() != "" {
				return got
			}
			return ""
		},
		sim.Faint: func(t *testing.T, _ *cloud, d *sim.Device) string {
			if got, err := line(t, d, 5*time.Second)(unbind); !errors.Is(err, io.EOF) || d.Username() != "" {
				return got + ": want the connection broken and the device without an owner"
			}
			if got := ask(t, d, bind); code(t, got) != 0 || !holds(d, "new") {
				return got
			}
			return ""
		},
		sim.Stubborn: func(t *testing.T, c *cloud, d *sim.Device) string {
			if got := ask(t, d, bind); code(t, got) != -20601 || !holds(d, "old") {
				return got
			}
			c.set(func(c *cloud) { c.password = "old" })
			_ = ask(t, d, unbind)
			if got := ask(t, d, strings.Replace(bind, "new", "old", 1)); code(t, got) != 0 || !holds(d, "old") {
				return got
			}
			return ""
		},
		sim.Forgetful: func(t *testing.T, _ *cloud, d *sim.Device) string {
			_ = ask(t, d, unbind)
			if got := ask(t, d, bind); code(t, got) != 0 || d.Username() != "" {
				return got
			}
			return ""
		},
		sim.Boastful: func(t *testing.T, c *cloud, d *sim.Device) string {
			_ = ask(t, d, unbind)
			c.set(func(c *cloud) { c.down = true })
			if got := ask(t, d, bind); code(t, got) != -21 || d.Username() != "" {
				return got
			}
			if got := ask(t, d, whose); !strings.Contains(got, `"binded":1,"cld_connection":0`) {
				return got
			}
			return ""
		},
	} {
		c := &cloud{password: "new"}
		d := broken(t, c, defect)
		if got := wrong(t, c, d); got != "" {
			t.Errorf("%s: %s", defect, got)
		}
	}
}

func TestCameraStatesItsIdentityAndTakesNoOrders(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	d := live(t, sim.Options{}, sim.Spec{Kind: home.Camera, Protocol: home.IOT}).Devices()[0]
	if got := ask(t, d, who); !strings.HasPrefix(got, `{"system":{"get_sysinfo":{"err_code":0,"system":{`) ||
		!strings.Contains(got, `"IOT.IPCAMERA"`) {
		t.Errorf("who: %s", got)
	}
	for _, q := range []string{bind, strings.Replace(bind, "cnCloud", "smartlife.cam.ipcamera.cloud", 1)} {
		if got := ask(t, d, q); !strings.Contains(got, "-10008") || d.Username() != "" {
			t.Errorf("%s: %s", q, got)
		}
	}
}
