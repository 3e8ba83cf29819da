package site

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/daemon/page"
)

// find returns the row of the device in the path.
func (v *visit) find() (daemon.Row, bool) {
	st, err := v.s.o.Status()
	if err != nil {
		v.s.o.Log.Error("page not made", "err", err)
		return daemon.Row{}, false
	}
	id := home.DeviceID(v.r.PathValue("id"))
	i := slices.IndexFunc(st.Devices, func(r daemon.Row) bool { return r.ID == id })
	if i < 0 {
		return daemon.Row{}, false
	}
	return st.Devices[i], true
}

// device is the page of one device.
func (s *Site) device(v *visit) { v.showDevice(http.StatusOK, "") }

func (v *visit) showDevice(status int, problem string) {
	r, ok := v.find()
	if !ok {
		v.show(http.StatusNotFound, page.Content{Title: v.t.NotFound})
		return
	}
	c := page.Content{Title: r.Label(), Problem: problem}
	if v.r.URL.Query().Has("done") {
		c.Result = v.t.Done
	}
	class, shape := mark(r)
	facts := page.Join(
		page.El("dt", v.t.State), page.El(`dd class="`+class+`"`, page.El(`i aria-hidden="true"`, shape), v.verdict(r)))
	fact := func(label string, value any) {
		if value != "" && value != page.Markup("") {
			facts += page.El("dt", label) + page.El("dd", value)
		}
	}
	if r.Epoch != 0 {
		fact(v.t.Holds, v.t.Password(int(r.Epoch)))
	}
	fact(v.t.LastSeen, v.when(r.Since))
	fact(v.t.WhatToDo, v.whatToDo(r))
	fact(v.all.Site.Kind, v.kind(r))
	fact(v.t.Model, r.Model)
	fact(v.t.Protocol, string(r.Protocol))
	fact(v.t.Address, r.Addr)
	fact("ID", string(r.ID))
	events, err := v.s.o.History(1000)
	if err != nil {
		v.s.o.Log.Error("history not read", "err", err)
	}
	events = slices.DeleteFunc(events, func(e home.Event) bool { return e.Device != r.ID })
	c.Body = page.Join(page.El(`dl class="facts"`, facts), v.orders(r), page.El("h2", v.t.History), v.events(events, nil))
	v.show(status, c)
}

// orders are the buttons of a device, for an owner who is signed in.
func (v *visit) orders(r daemon.Row) page.Markup {
	if !v.signed {
		return ""
	}
	at := "/device/" + url.PathEscape(string(r.ID)) + "/"
	probe := page.Form(at+"probe", page.El(`button class="plain"`, v.t.Probe))
	forget := page.Markup("")
	if r.Left || r.Verdict == home.Unreachable { // one that is here would be found again at once
		forget = page.Form(at+"forget", page.El(`button class="plain"`, v.t.Forget))
	}
	if !r.Bound {
		return page.El(`div class="steps"`, page.Form(at+"bind", page.El("button", v.t.Bind)), probe, forget)
	}
	var out page.Markup
	if r.Group() == daemon.Kept {
		out += probe
	} else {
		out += page.Form(at+"rekey", page.El("button", v.t.Rekey))
	}
	if r.Consent {
		out += page.El("p", v.t.AllowText) + page.Form(at+"allow", page.El("button", v.t.Allow))
	} else if r.Protocol.Info().Cleartext {
		out += page.Form(at+"forbid", page.El(`button class="plain"`, v.t.Forbid))
	}
	rename := page.Form(at+"rename", page.El("label", v.t.NameHere,
		page.Markup(` <input name="name" maxlength="80" autocomplete="off"`+page.Attr("value", r.Label())+">")),
		page.El(`button class="plain"`, v.t.Rename))
	out += page.Form(at+"unbind", page.El(`button class="plain"`, v.t.Unbind)) + forget
	return page.El(`div class="steps"`, out) + rename
}

// order carries out an order for one device. The same order again changes nothing more.
func (s *Site) order(v *visit) {
	r, ok := v.find()
	at := "/device/" + url.PathEscape(string(r.ID))
	do := map[string]func([]home.DeviceID) error{
		"rename": func(ids []home.DeviceID) error { return s.o.Orders.Rename(ids[0], v.r.PostForm.Get("name")) },
		"probe": func(ids []home.DeviceID) error {
			ctx, stop := context.WithTimeout(v.r.Context(), askPatience)
			defer stop()
			_, err := s.o.Orders.Probe(ctx, ids)
			return err
		},
		"forget": func(ids []home.DeviceID) error {
			at = "/" // its page is gone
			return s.o.Orders.Forget(ids)
		},
		"bind": s.o.Orders.Bind, "unbind": s.o.Orders.Unbind,
		"allow": s.o.Orders.AllowCleartext, "forbid": s.o.Orders.ForbidCleartext,
		"rekey": func(ids []home.DeviceID) error { return s.o.Orders.Rekey(ids, false) },
	}[v.r.PathValue("order")]
	if !ok || do == nil {
		v.show(http.StatusNotFound, page.Content{Title: v.t.NotFound})
		return
	}
	if err := do([]home.DeviceID{r.ID}); err != nil {
		v.showDevice(http.StatusConflict, problem(err))
		return
	}
	v.goTo(at + "?done")
}

// problem is an error for its person, with the hint.
func problem(err error) string {
	if hint := home.HintOf(err); hint != "" {
		return fmt.Sprintf("%v: %s", err, hint)
	}
	return err.Error()
}

// bindOurs binds every device that proved a password of the account and was not left out.
func (s *Site) bindOurs(v *visit) {
	v.orderAll(func(st daemon.Status) error {
		var ids []home.DeviceID
		for _, r := range st.Devices {
			if !r.Bound && r.Proved && !r.LeftOut {
				ids = append(ids, r.ID)
			}
		}
		return s.o.Orders.BindOurs(ids)
	})
}

// rekey has every device tried now that is not current.
func (s *Site) rekey(v *visit) {
	v.orderAll(func(daemon.Status) error { return s.o.Orders.Rekey(nil, false) })
}

func (v *visit) orderAll(do func(daemon.Status) error) {
	st, err := v.s.o.Status()
	if err == nil {
		err = do(st)
	}
	if err != nil {
		v.show(http.StatusConflict, page.Content{Title: v.t.Title, Problem: problem(err)})
		return
	}
	v.goTo("/?done")
}
