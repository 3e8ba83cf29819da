package site

import (
	"net/http"
	"slices"
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/daemon/page"
)

func (w *Site) forgotForm(v *visit) { v.showForgot(http.StatusOK, "") }

func (v *visit) showForgot(status int, problem string) {
	v.show(status, content{title: v.t.Forgot, problem: problem, body: page.Form("/forgot",
		page.Input(v.t.ForgotEmail, "email", "email", "username", v.field("email"), ""), page.El("button", v.t.OK))})
}

// forgot has the same answer for every address, after the same time: it reveals no accounts.
func (w *Site) forgot(v *visit) {
	email := v.field("email")
	if !w.s.Forgot(v.r.Context(), email, account.DoorWeb, account.Network(v.r.RemoteAddr), v.tag) {
		v.showForgot(http.StatusUnprocessableEntity, v.t.BadEmail)
		return
	}
	v.show(http.StatusOK, content{title: v.t.Mailed, result: v.t.MailedText, body: page.Join(
		page.Form("/forgot", page.Hidden("email", email), page.El("p", v.t.ResendText),
			page.El(`button class="plain"`, v.t.Resend)),
		page.El("p", page.Link("/reset", v.t.ToCode)),
	)})
}

func (w *Site) resetForm(v *visit) { v.showCode(http.StatusOK, "/reset", v.t.Reset, "", v.t.GoOn, "") }

// reset shows the form of a new password for a valid token, and sets the password once it was chosen. Only that uses
// the token up.
func (w *Site) reset(v *visit) {
	token := v.field("token")
	l, err := w.s.LinkOf(token, account.PurposeReset)
	if err != nil && v.field("chosen") != "" { // the form was sent twice
		if begun, again := w.s.Reset(v.r.Context(), token, v.field("password"), account.Choices{}); again == nil {
			v.resetDone(begun)
			return
		}
	}
	if err != nil {
		status, problem := v.problem(err)
		v.showCode(status, "/reset", v.t.Reset, "", v.t.GoOn, problem)
		return
	}
	kept := func(string) bool { return true }
	if v.field("chosen") != "" {
		kept = func(hub string) bool { return slices.Contains(v.r.PostForm["hub"], hub) }
	}
	show := func(status int, problem string) {
		hubs := page.El("p", v.t.NoHubsWho)
		if len(l.Hubs) > 0 {
			hubs = ""
			for _, h := range l.Hubs {
				box := `input type="checkbox" name="hub"` + page.Attr("value", h.Name)
				if kept(h.Name) {
					box += " checked"
				}
				hubs += page.El(`label class="tick"`, page.Markup("<"+box+">"), v.t.Hub(h.Label, h.Devices))
			}
			hubs = page.El("fieldset", page.El("legend", v.t.HubsWho), hubs, page.El(`p class="hint"`, v.t.HubsWhoText))
		}
		v.show(status, content{title: v.t.Choose, problem: problem, script: true, body: page.Form("/reset",
			page.Hidden("token", token), page.Hidden("chosen", "1"),
			// for password managers
			page.Input(v.t.For, "email", "email", "username", l.Email, " readonly"),
			v.newPassword(), v.exposedQuestion(), hubs, page.El("button", v.t.Save))})
	}
	switch {
	case v.field("chosen") == "":
		show(http.StatusOK, "")
		return
	case v.field("password") != v.field("again"):
		show(http.StatusUnprocessableEntity, v.t.Differ)
		return
	}
	var leaveOut []string
	for _, h := range l.Hubs {
		if !kept(h.Name) {
			leaveOut = append(leaveOut, h.Name)
		}
	}
	choices := account.Choices{LeaveOut: leaveOut, Exposed: v.exposed()}
	begun, err := w.s.Reset(v.r.Context(), token, v.field("password"), choices)
	if err != nil {
		show(v.problem(err))
		return
	}
	v.resetDone(begun)
}

// resetDone leads to the progress of a password that was just set.
func (v *visit) resetDone(begun account.Begun) {
	v.setCookie(sessionCookie, "", 0) // it has ended
	v.setCookie(ticketCookie, begun.Ticket, time.Hour)
	v.goTo("/reset/done")
}

// exposedQuestion asks whether somebody else may know the old password. The default is no.
func (v *visit) exposedQuestion() page.Markup {
	option := func(value, text string, checked bool) page.Markup {
		box := `input type="radio" name="exposed"` + page.Attr("value", value)
		if checked {
			box += " checked"
		}
		return page.El(`label class="tick"`, page.Markup("<"+box+">"), text)
	}
	return page.El("fieldset", page.El("legend", v.t.Exposed),
		option("no", v.t.Forgotten, !v.exposed()), option("yes", v.t.Known, v.exposed()),
		page.El(`p class="hint"`, v.t.ExposedText))
}

// exposed is the answer to exposedQuestion.
func (v *visit) exposed() bool { return v.field("exposed") == "yes" }

func (w *Site) notMeForm(v *visit) {
	v.showCode(http.StatusOK, "/notme", v.t.NotMe, v.t.NotMeText, v.t.NotMeButton, "")
}

func (w *Site) notMe(v *visit) {
	if err := w.s.Disown(v.r.Context(), v.field("token")); err != nil {
		status, problem := v.problem(err)
		v.showCode(status, "/notme", v.t.NotMe, v.t.NotMeText, v.t.NotMeButton, problem)
		return
	}
	v.setCookie(sessionCookie, "", 0)
	v.setCookie(ticketCookie, "", 0)
	v.show(http.StatusOK, content{title: v.t.NotMeDone, result: v.t.NotMeDoneText, body: page.El("p", page.Link("/reset", v.t.ToCode))})
}
