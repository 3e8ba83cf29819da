package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	devlog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/rekeyd/rekeyd/devices/discover/nettest"
)

// tab is a tab of a real Chromium. It records the requests and the console messages of the browser.
type tab struct {
	t    *testing.T
	ctx  context.Context
	base string
	axe  string // the accessibility checker; empty to go without

	mu        sync.Mutex // guards the rest
	asked     []string   // URL of each request, as it left the page
	referers  []string
	complains []string // messages of the console, and exceptions
}

// newTab opens Chromium with a preferred language, with or without JavaScript, and with more options. Every page that it shows must be below
// base.
func newTab(t *testing.T, base, lang, axe string, scripts bool, more ...chromedp.ExecAllocatorOption) *tab {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		nettest.Missing(t, "chromium is missing: the pages cannot be tested in a real browser (Debian: chromium)")
	}
	o := append(
		chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox,
		chromedp.Flag("accept-lang", lang),
		chromedp.Flag("ignore-certificate-errors", true), // a person accepts the certificate that the daemon made
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-dev-shm-usage", true),
	)
	all, stop := chromedp.NewExecAllocator(context.Background(), append(o, more...)...)
	t.Cleanup(stop)
	b := &tab{t: t, base: base, axe: axe}
	ctx, end := chromedp.NewContext(all, chromedp.WithListener(b.record))
	t.Cleanup(end)
	b.ctx = ctx
	if err := chromedp.Do(ctx, call(network.Enable, network.EnableParams{}), call(devlog.Enable, cdp.Empty{}),
		call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !scripts})); err != nil {
		t.Fatalf("start of chromium: %v", err)
	}
	return b
}

// call is a command of the DevTools protocol whose answer is ignored.
func call[P, R any](cmd cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, cmd, params)
		return err
	})
}

// record is called for each event of the browser.
func (b *tab) record(ev any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch ev := ev.(type) {
	case *network.EventRequestWillBeSent:
		b.asked = append(b.asked, ev.Request.URL)
	case *network.EventRequestWillBeSentExtraInfo:
		for name, v := range ev.Headers {
			if strings.EqualFold(name, "referer") {
				b.referers = append(b.referers, fmt.Sprint(v))
			}
		}
	case *devlog.EventEntryAdded:
		b.complains = append(b.complains, string(ev.Entry.Level)+": "+ev.Entry.Text+" "+ev.Entry.URL)
	case *runtime.EventExceptionThrown:
		b.complains = append(b.complains, "exception: "+ev.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		b.complains = append(b.complains, "console."+string(ev.Type))
	}
}

func (b *tab) do(as ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, stop := context.WithTimeout(b.ctx, time.Minute)
	defer stop()
	if err := chromedp.Do(ctx, as...); err != nil {
		b.t.Fatalf("browser: %v\non the page:\n%s", err, b.text())
	}
}

// ask evaluates an expression on the page, as the developer tools do, also where the page itself may run no script.
func (b *tab) ask(expression string) (string, error) {
	ctx, stop := context.WithTimeout(b.ctx, time.Minute)
	defer stop()
	return chromedp.Run(ctx, chromedp.Evaluate[string](expression, func(p *runtime.EvaluateParams) {
		yes := true
		p.AwaitPromise = &yes
	}))
}

// text is what the page shows; empty between two pages.
func (b *tab) text() string {
	s, _ := b.ask(
		`document.body ? [document.body.innerText,
			...[...document.querySelectorAll("input[readonly]")].map(i => i.value)].join("\n") : ""`,
	)
	return s
}

// shows waits until the page shows all of the texts, and has the browser and the accessibility checker look at it.
func (b *tab) shows(texts ...string) {
	b.t.Helper()
	b.sees(texts...)
	wide, err := b.ask(`document.documentElement.scrollWidth > innerWidth ? [...document.querySelectorAll("*")]
		.filter(e => e.getBoundingClientRect().right > innerWidth).map(e => e.outerHTML.slice(0, 80)).join("\n") : ""`)
	ok(b.t, err)
	if wide != "" {
		b.t.Errorf("the page that shows %q is wider than the screen:\n%s", texts, wide)
	}
	found, err := b.ask(b.axe + `;axe.run({runOnly:["wcag2a","wcag2aa","wcag21a","wcag21aa","best-practice"]})
		.then(r=>r.violations.map(v=>v.id+": "+v.help+" "+v.nodes.map(n=>n.html).join(" ")).join("\n"))`)
	ok(b.t, err)
	if found != "" {
		b.t.Errorf("barriers on the page that shows %q:\n%s", texts, found)
	}
}

func (b *tab) sees(texts ...string) {
	b.t.Helper()
	var now string
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(30 * time.Millisecond) {
		now = b.text()
		missing := false
		for _, s := range texts {
			missing = missing || !strings.Contains(now, s)
		}
		if !missing {
			return
		}
	}
	b.t.Fatalf("the page does not show %q but:\n%s", texts, now)
}

// dark makes the tab a phone's at night.
func (b *tab) dark() {
	b.t.Helper()
	b.do(
		call(
			emulation.SetDeviceMetricsOverride,
			emulation.SetDeviceMetricsOverrideParams{Width: 360, Height: 740, DeviceScaleFactor: 2, Mobile: true},
		),
		call(
			emulation.SetEmulatedMedia,
			emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}},
		),
	)
}

func (b *tab) open(path string) { b.t.Helper(); b.do(chromedp.Navigate(b.base + path)) }

// fill writes into fields by their names, each followed by its text.
func (b *tab) fill(pairs ...string) {
	b.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		b.do(chromedp.SendKeys(chromedp.CSS(`input[name="`+pairs[i]+`"]`), pairs[i+1]))
	}
}

// press presses the button of the form that leads to action.
func (b *tab) press(action string) {
	b.t.Helper()
	b.do(chromedp.Click(chromedp.CSS(`form[action="` + action + `"] button`)))
}

// clean checks the traffic of the browser: every request went to this service, no URL and no Referer held a secret, and
// the console is empty but for allowed messages.
func (b *tab) clean(secrets []string, allowed ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.asked) < 10 {
		b.t.Errorf("only %d requests were seen", len(b.asked))
	}
	want, err := url.Parse(b.base)
	ok(b.t, err)
	for _, raw := range b.asked {
		u, err := url.Parse(raw)
		ok(b.t, err)
		if u.Host != want.Host && u.Scheme != "about" {
			b.t.Errorf("a request to somebody else: %s", raw)
		}
		for _, s := range secrets {
			if strings.Contains(raw, s) {
				b.t.Errorf("a secret in the URL %s", raw)
			}
		}
	}
	for _, r := range b.referers {
		if !strings.HasPrefix(r, b.base+"/") {
			b.t.Errorf("a Referer of another site: %s", r)
		}
		for _, s := range secrets {
			if strings.Contains(r, s) {
				b.t.Errorf("a secret in the Referer %s", r)
			}
		}
	}
	for _, c := range b.complains {
		fine := false
		for _, a := range allowed {
			fine = fine || strings.Contains(c, a)
		}
		if !fine {
			b.t.Errorf("the browser complains: %s", c)
		}
	}
}

// mailed waits for a mail with a link to the path, not among old, and returns the link and its token.
func mailed(t *testing.T, dir, path string, old map[string]bool) (link, token string) {
	t.Helper()
	in := regexp.MustCompile(`https?://[^\s"<>]*` + path + `#t=([A-Z2-7]{20,})`)
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(30 * time.Millisecond) {
		files, err := filepath.Glob(filepath.Join(dir, "*.eml"))
		ok(t, err)
		for _, f := range files {
			raw, err := os.ReadFile(f)
			ok(t, err)
			if m := in.FindSubmatch(raw); m != nil && !old[string(m[1])] {
				old[string(m[1])] = true
				return string(m[0]), string(m[1])
			}
		}
	}
	t.Fatalf("no mail with a link to %s", path)
	return "", ""
}

// keys presses Tab until a field has the focus, and then types.
func (b *tab) keys(field string, keys ...string) {
	b.t.Helper()
	name := strings.TrimPrefix(field, "name=")
	for range 40 {
		b.do(chromedp.KeyEvent(kb.Tab))
		here, err := b.ask(`document.activeElement.name || ""`)
		ok(b.t, err)
		if here == name {
			for _, k := range keys {
				b.do(chromedp.KeyEvent(k))
			}
			return
		}
	}
	b.t.Fatalf("the keyboard does not reach the field %s", name)
}
