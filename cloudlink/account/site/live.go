package site

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/daemon/page"
)

// done is the page after a new password: how to sign in, and the progress of the devices.
func (w *Site) done(v *visit) {
	title, result := v.t.ResetDone, v.t.ResetDoneText
	if v.r.URL.Query().Has("changed") {
		title, result = v.t.Changed, v.t.ChangedText
	}
	look, _, stop, ok := w.s.Watch(v.cookie(ticketCookie))
	if !ok {
		v.show(http.StatusOK, content{
			title: title, result: result, body: page.El("p", page.El(`a class="button" href="/"`, v.t.SignInNow)),
		})
		return
	}
	defer stop()
	p, _ := look()
	now, body := v.progress(p)
	problem, informed := v.t.NoneInformed, page.Markup("")
	if p.Hubs > 0 {
		problem, informed = "", page.El("p", v.t.Informed(p.Hubs))
	}
	waiting := p.SignedIn+v.needing(p.Devices) < len(p.Devices)
	v.show(http.StatusOK, content{title: title, problem: problem, script: true, refresh: waiting, body: page.Join(
		page.El("p", result), informed, page.El("p", page.El(`a class="button" href="/"`, v.t.SignInNow)),
		page.El("h2", v.t.ProgressTitle),
		page.El(`p role="status" id="result"`, now), page.El(`div data-live="/reset/live"`, body))})
}

// progress returns how many devices are signed in, as a sentence and as a bar with a list.
func (v *visit) progress(p account.Progress) (result string, body page.Markup) {
	if len(p.Devices) == 0 {
		return v.t.ProgressNone, ""
	}
	var items page.Markup
	for _, d := range p.Devices {
		word, hint := v.state(d)
		items += page.El("li", page.El("strong", name(d)), " · ", word, hint)
	}
	more, need := v.t.Waiting, v.needing(p.Devices)
	switch {
	case p.SignedIn == len(p.Devices):
		more = v.t.AllDone
	case p.Hubs == 0:
		more = v.t.NoHubsWho
	case p.SignedIn+need == len(p.Devices):
		more = v.t.NeedText
	}
	return v.progressSentence(p.Devices), page.Join(
		page.El("progress"+page.Attr("value", fmt.Sprint(p.SignedIn+need))+page.Attr("max", fmt.Sprint(len(p.Devices)))+
			page.Attr("aria-label", v.t.ProgressTitle)),
		page.El("p", more), page.El(`ul class="devices"`, items))
}

// needing returns how many devices wait for a person: no hub can do more for them.
func (v *visit) needing(ds []account.DeviceInfo) (n int) {
	for _, d := range ds {
		if v.t.Hints[string(d.Verdict)] != "" && !d.Verdict.Waits() && !d.SignedIn {
			n++
		}
	}
	return n
}

// progressSentence is the progress in numbers.
func (v *visit) progressSentence(ds []account.DeviceInfo) string {
	done := 0
	for _, d := range ds {
		if d.SignedIn {
			done++
		}
	}
	if need := v.needing(ds); need > 0 {
		return v.t.ProgressNeed(done, need)
	}
	return v.t.Progress(done, len(ds))
}

// state describes a device after a change. A session in the account's record counts before the verdict of its hub.
func (v *visit) state(d account.DeviceInfo) (word string, hint page.Markup) {
	if d.SignedIn {
		return v.t.SignedIn, ""
	}
	word = v.t.NotYet
	if result, ok := v.t.Verdicts[string(d.Verdict)]; ok && d.Verdict != "current" {
		word += " (" + result + ")"
	}
	if text, ok := v.t.Hints[string(d.Verdict)]; ok {
		hint = page.El(`div class="hint"`, text)
	}
	return word, hint
}

// name returns the name of a device for people.
func name(d account.DeviceInfo) string {
	if d.Name != "" {
		return d.Name
	}
	return d.ID
}

func (w *Site) doneLive(v *visit) {
	look, changed, stop, ok := w.s.Watch(v.cookie(ticketCookie))
	if !ok {
		http.Error(v.rw, v.t.NoPage, http.StatusNotFound)
		return
	}
	defer stop()
	v.stream(look, changed, v.progress)
}

func (w *Site) devicesLive(v *visit) {
	look, changed, stop := v.owner.Watch()
	defer stop()
	v.stream(look, changed, func(p account.Progress) (string, page.Markup) {
		return v.progressSentence(p.Devices), v.deviceTable(p.Devices)
	})
}

const (
	pace     = 250 * time.Millisecond // between two events: a house of thousands needs some dozens of them
	beat     = 15 * time.Second       // without an event, after which a comment shows whether the browser is still there
	liveLife = 30 * time.Minute       // then the browser asks again
	patience = 10 * time.Second       // with a browser that does not read
)

// stream sends the progress of a house as server-sent events, until the browser goes away or look returns false: the
// session has ended, or nothing is left to report.
func (v *visit) stream(
	look func() (account.Progress, bool), changed <-chan struct{}, render func(account.Progress) (string, page.Markup),
) {
	select {
	case v.w.live <- struct{}{}:
		defer func() { <-v.w.live }()
	default:
		http.Error(v.rw, v.t.TooManySessions, http.StatusServiceUnavailable)
		return
	}
	out := http.NewResponseController(v.rw)
	_ = out.SetReadDeadline(time.Time{}) // the request was read; the server's limit for that must not end the answer
	v.header()
	v.rw.Header().Set("Content-Type", "text/event-stream")
	v.rw.Header().Set("X-Accel-Buffering", "no") // a proxy must not wait for the end
	ctx, stop := context.WithTimeout(v.r.Context(), liveLife)
	defer stop()
	send := func(format string, args ...any) bool {
		_ = out.SetWriteDeadline(time.Now().Add(patience))
		_, err := fmt.Fprintf(v.rw, format, args...)
		return err == nil && out.Flush() == nil
	}
	last := ""
	for {
		p, ok := look()
		if !ok {
			send("event: end\ndata: {}\n\n")
			return
		}
		result, body := render(p)
		raw, _ := json.Marshal(map[string]string{"result": result, "html": string(page.Below(v.w.prefix, body))}) // cannot fail
		if string(raw) != last {
			if last = string(raw); !send("event: progress\ndata: %s\n\n", raw) {
				return
			}
		}
		if !wait(ctx, pace) {
			return
		}
		quiet := time.NewTimer(beat)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-quiet.C:
			send(": still here\n\n")
		}
		quiet.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
