package sim_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/discover/nettest"
	"github.com/rekeyd/rekeyd/devices/sim"
	"github.com/rekeyd/rekeyd/devices/xor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cloud is a fake of what devices sign in to.
type cloud struct {
	mu       sync.Mutex // guards the fields below
	password string
	down     bool
	hold     chan struct{} // a sign-in waits for it to be closed; nil when none does
}

func (c *cloud) SignIn(ctx context.Context, _ string, password home.Secret) error {
	c.mu.Lock()
	down, want, hold := c.down, c.password, c.hold
	c.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	switch {
	case down:
		return home.ErrUnavailable
	case password.Reveal() != want:
		return home.ErrCredential
	}
	return nil
}

func (c *cloud) set(f func(*cloud)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(c)
}

// live runs a house until the test ends.
func live(t *testing.T, o sim.Options, specs ...sim.Spec) *sim.House {
	t.Helper()
	o.Log = slog.New(slog.DiscardHandler)
	h, err := sim.New(o, specs)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() {
		if err := h.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { stop(); run.Wait() })
	return h
}

// ask sends one request over TCP and returns the answer.
func ask(t *testing.T, d *sim.Device, request string) string {
	t.Helper()
	c, err := net.Dial("tcp", d.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	if err := xor.WriteFrame(c, []byte(request)); err != nil {
		t.Fatal(err)
	}
	raw, err := xor.ReadFrame(c, 1<<20)
	if err != nil {
		t.Fatalf("%s: %v", request, err)
	}
	return string(raw)
}

func code(t *testing.T, answer string) int {
	t.Helper()
	var r map[string]map[string]struct {
		Code int `json:"err_code"`
	}
	if err := json.Unmarshal([]byte(answer), &r); err != nil {
		t.Fatalf("%s: %v", answer, err)
	}
	for _, m := range r {
		for _, a := range m {
			return a.Code
		}
	}
	t.Fatalf("no code in %s", answer)
	return 0
}

// eventually waits for another goroutine's work, which nothing else reports.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for range 6000 {
		if f() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}

const bind = `{"cnCloud":{"bind":{"username":"a@b.c","password":"new"}}}`

func TestPlugAnswersAsRealOnesDo(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	c := &cloud{password: "new"}
	h := live(t, sim.Options{Cloud: c}, sim.Spec{Kind: home.Plug, Protocol: home.IOT, Model: "HS110(EU)"})
	d := h.Devices()[0]
	if got := ask(t, d, `{"system":{"get_sysinfo":null},"cnCloud":{"get_info":{}}}`); !strings.Contains(
		got, `"mac":"50:C7:BF:35:00:01"`,
	) ||
		!strings.Contains(got, `"model":"HS110(EU)"`) ||
		!strings.Contains(got, `"binded":0`) {
		t.Errorf("who and whose: %s", got)
	}
	if want := "mac-50c7bf350001"; string(d.ID()) != want {
		t.Errorf("id %s, want %s", d.ID(), want)
	}
	for _, c := range []struct {
		request string
		code    int
	}{
		{`{"cnCloud":{"get_intl_fw_list":{}}}`, -21},
		{`{"cnCloud":{"unbind":{}}}`, -8},
		{`{"cnCloud":{"dance":{}}}`, -2},
		{`{"cnCloud":{"bind":{"username":"a@b.c"}}}`, -3},
		{`{"cnCloud":{"bind":{"username":"a@b.c","password":7}}}`, -3},
		{`{"cnCloud":{"bind":{"username":"a@b.c","password":"old"}}}`, -20601},
		{bind, 0},
		{`{"cnCloud":{"set_server_url":{"server":"devs.tplinkcloud.com"}}}`, 0},
		{`{"cnCloud":{"get_intl_fw_list":{}}}`, 0},
	} {
		if got := ask(t, d, c.request); code(t, got) != c.code {
			t.Errorf("%s: %s, want code %d", c.request, got, c.code)
		}
	}
	const unknown = `{"smartlife.iot.common.cloud":{"err_code":-1,"err_msg":"module not support"}}`
	if got := ask(t, d, `{"smartlife.iot.common.cloud":{"get_info":{}}}`); got != unknown {
		t.Errorf("a bulb's module: %s", got)
	}
	if got := ask(t, d, `{"cnCloud":{"get_info":{}}}`); !strings.Contains(got, `"binded":1`) ||
		!strings.Contains(got, `"cld_connection":1`) ||
		!strings.Contains(got, `"server":"devs.tplinkcloud.com"`) ||
		!strings.Contains(got, `"username":"a@b.c"`) {
		t.Errorf("bound: %s", got)
	}
	if !d.Holds("a@b.c", home.NewSecret("new")) || d.Holds("a@b.c", home.NewSecret("old")) {
		t.Errorf("holds %s, %t", d.Username(), d.Holds("a@b.c", home.NewSecret("new")))
	}
	if got := ask(t, d, `{"cnCloud":{"unbind":{}}}`); code(t, got) != 0 || d.Username() != "" {
		t.Errorf("unbind: %s", got)
	}
}

func TestBulbHasItsOwnModuleAndCodes(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	d := live(t, sim.Options{}, sim.Spec{Kind: home.Bulb, Protocol: home.IOT}).Devices()[0]
	if got := ask(t, d, `{"smartlife.iot.common.cloud":{"unbind":{}}}`); code(t, got) != -4002 {
		t.Errorf("unbind: %s", got)
	}
	if got := ask(t, d, `{"smartlife.iot.common.cloud":{"bind":{"username":"a@b.c","password":"x"}}}`); code(
		t, got,
	) != 0 ||
		d.Username() != "a@b.c" {
		t.Errorf("bind: %s", got)
	}
	if got := ask(t, d, `{"cnCloud":{"get_info":{}}}`); !strings.Contains(got, "-2001") {
		t.Errorf("a plug's module: %s", got)
	}
	if got := ask(t, d, `{"system":{"get_sysinfo":{}}}`); !strings.Contains(got, `"mic_type":"IOT.SMARTBULB"`) ||
		!strings.Contains(got, `"mic_mac":"50C7BF350001"`) {
		t.Errorf("who: %s", got)
	}
}

func TestBindWithoutACloudIsRememberedAndTriedAgain(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	c := &cloud{password: "new", down: true}
	d := live(t, sim.Options{Cloud: c}, sim.Spec{Kind: home.Plug, Protocol: home.IOT}).Devices()[0]
	if got := ask(t, d, bind); code(t, got) != -21 {
		t.Fatalf("bind without a cloud: %s", got)
	}
	if got := ask(t, d, `{"cnCloud":{"get_info":{}}}`); !strings.Contains(got, `"binded":0`) ||
		!strings.Contains(got, `"username":"a@b.c"`) {
		t.Errorf("meanwhile: %s", got)
	}
	if d.Holds("a@b.c", home.NewSecret("new")) {
		t.Error("it holds a pair that it could not try")
	}
	c.set(func(c *cloud) { c.down = false })
	eventually(t, "it signs in", func() bool { return d.Holds("a@b.c", home.NewSecret("new")) })
}

func TestAnotherCommandIsRefusedWhileOneRuns(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	c := &cloud{password: "new", hold: make(chan struct{})}
	d := live(t, sim.Options{Cloud: c}, sim.Spec{Kind: home.Plug, Protocol: home.IOT}).Devices()[0]
	first := make(chan string)
	go func() { first <- ask(t, d, bind) }()
	eventually(t, "the second is refused", func() bool { return code(t, ask(t, d, `{"cnCloud":{"unbind":{}}}`)) == -32 })
	close(c.hold)
	if got := <-first; code(t, got) != 0 && code(t, got) != -32 {
		t.Errorf("the first: %s", got)
	}
}

func TestBroadcastIsAnsweredFromEveryDevicesOwnAddress(t *testing.T) {
	if !nettest.InNamespace(t) {
		return
	}
	specs, err := sim.ParseCount("plug:iot=3,switch:iot=2,bulb:iot=2")
	if err != nil {
		t.Fatal(err)
	}
	h := live(t, sim.Options{}, specs...)
	h.Devices()[1].PowerOff()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	everybody := netip.MustParseAddrPort("127.255.255.255:9999")
	for _, q := range []string{`{"cnCloud":{"unbind":{}}}`, "garbage", `{"system":{"get_sysinfo":{}}}`} {
		if _, err := c.WriteToUDPAddrPort(xor.Seal([]byte(q)), everybody); err != nil {
			t.Fatal(err)
		}
	}
	multicasts := map[netip.AddrPort]bool{}
	b := make([]byte, 4096)
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	for len(multicasts) < 6 {
		n, from, err := c.ReadFromUDPAddrPort(b)
		if err != nil {
			t.Fatalf("after %d answers: %v", len(multicasts), err)
		}
		if got := string(xor.Open(b[:n])); !strings.Contains(got, "get_sysinfo") {
			t.Fatalf("answered a broadcast that changes something: %s", got)
		}
		multicasts[from] = true
	}
	for i, d := range h.Devices() {
		if multicasts[d.Addr()] != (i != 1) {
			t.Errorf("%s answered: %t", d.Addr(), multicasts[d.Addr()])
		}
	}
}
