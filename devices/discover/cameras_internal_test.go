package discover

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// asker counts the requests at each address.
type asker struct {
	mu    sync.Mutex // guards asked
	asked map[netip.AddrPort]int
	err   error
}

func (a *asker) recognise(_ context.Context, at netip.AddrPort) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked[at]++
	return a.err
}

func lookup(a *asker, house func([]string) bool) *run {
	a.asked = map[netip.AddrPort]int{}
	d := &Discovery{o: Options{Recognise: a.recognise}, counts: map[string]uint64{}}
	return &run{Discovery: d, out: newOutbox(), cameras: newCameras(house)}
}

// sweepCameras asks at every address once.
func (r *run) sweepCameras() {
	for _, c := range r.cameras.list() {
		r.askCamera(context.Background(), c)
	}
}

var (
	cameraAddr = netip.MustParseAddr("10.0.0.9")
	errOther   = errors.New("it speaks something else")
)

// A request with empty fields may count as a wrong sign-in: it is not repeated at every sweep.
func TestNoAddressIsAskedForACameraAtEverySweep(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want int // requests in an hour
	}{"something else": {errOther, 7}, "nothing there": {home.ErrUnreachable, 61}} {
		synctest.Test(t, func(t *testing.T) {
			a := &asker{err: c.err}
			r := lookup(a, nil)
			for range 61 {
				r.cameras.offer(candidate{addr: cameraAddr})
				r.sweepCameras()
				time.Sleep(time.Minute)
			}
			for _, port := range ncPorts {
				if n := a.asked[netip.AddrPortFrom(cameraAddr, port)]; n != c.want {
					t.Errorf("%s: port %d was asked %d times in an hour, want %d", name, port, n, c.want)
				}
			}
			if len(r.out.waiting) != 0 {
				t.Errorf("%s: seen as a camera: %v", name, r.out.waiting)
			}
		})
	}
}

// A stranger can announce thousands of cameras. Those of the house have room, and their names are theirs.
func TestCamerasOfTheHousePassAFullTable(t *testing.T) {
	ours := "mdns:nc220._http._tcp"
	r := lookup(&asker{err: home.ErrUnreachable}, func(keys []string) bool { return slices.Contains(keys, ours) })
	for i := range 10 * maxCameras {
		r.cameras.offer(candidate{addr: netip.AddrFrom4([4]byte{10, 1, byte(i / 250), byte(i % 250)}), key: fmt.Sprint(i)})
	}
	if n := len(r.cameras.list()); n != maxCameras {
		t.Errorf("%d addresses are asked", n)
	}
	taken := netip.AddrFrom4([4]byte{10, 1, 0, 3})
	r.cameras.offer(candidate{addr: cameraAddr, key: ours})
	r.cameras.offer(candidate{addr: taken, key: ours})
	list := r.cameras.list()
	if len(list) != maxCameras+1 || list[0].key != ours || list[1].key != ours {
		t.Errorf("%d addresses, the first %q and %q", len(list), list[0].key, list[1].key)
	}
	r.cameras.offer(candidate{addr: cameraAddr, key: "mdns:forged._http._tcp"})
	if list := r.cameras.list(); list[0].key != ours || list[1].key != ours {
		t.Error("a forged announcement takes the place of a bound camera's")
	}
}

// The first is the text of a captured answer (devices/PROTOCOLS.md, section 13.3).
func TestMatchIsReadFromWhateverStackWroteIt(t *testing.T) {
	const scopes = "onvif://www.onvif.org/name/TP-IPC onvif://www.onvif.org/hardware/NC450 onvif://h/location/ShenZhen"
	const port = "http://10.0.0.9:2020/onvif/device_service"
	for _, text := range []string{
		"<d:ProbeMatches><d:Scopes>" + scopes + "</d:Scopes><d:XAddrs>" + port + "</d:XAddrs>",
		"<ProbeMatch><XAddrs>\n " + port + " http://[fe80::1]/x </XAddrs><Scopes MatchBy=\"\">\n" + scopes + "\n</Scopes>",
		"<a:ProbeMatch/></d:Scopes ><w:ScopesX>x</w:ScopesX><w:Scopes>" + scopes + "</w:Scopes><XAddrs>" + port,
	} {
		if m, ok := readMatch([]byte(text)); !ok || m.model != "NC450" || !slices.Equal(m.ports, []uint16{2020}) {
			t.Errorf("%s: %+v, %t", text, m, ok)
		}
	}
	for _, text := range []string{
		"", "<d:Probe/>", "<ProbeMatch><Scopes>onvif://x/name/NC450</Scopes>", "Scopes>" + scopes,
	} {
		if m, ok := readMatch([]byte(text)); ok {
			t.Errorf("%s: %+v", text, m)
		}
	}
}

// FuzzMatch states that a reply leads to a model that is fit to print and at most four ports, or to nothing.
func FuzzMatch(f *testing.F) {
	for _, seed := range []string{
		"", "ProbeMatch", "<ProbeMatch><Scopes", "<ProbeMatch><Scopes>onvif://h/hardware/%00%ff</Scopes>",
		"<ProbeMatch><Scopes>onvif://h/hardware/NC450</Scopes><XAddrs>http://h:99999 http://h:1 http://h:0</XAddrs>",
		"<ProbeMatch></Scopes><Scopes></ProbeMatch>", strings.Repeat("<Scopes ", 1000) + "ProbeMatch",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, ok := readMatch(raw)
		if ok != (m.model != "") || len(m.model) > 120 || len(m.ports) > 4 || slices.Contains(m.ports, 0) ||
			strings.ContainsFunc(m.model, unicode.IsControl) {
			t.Errorf("%+v, %t", m, ok)
		}
	})
}
