package account

import (
	"errors"
	"net/http"

	"github.com/rekeyd/rekeyd/cloudlink/v1"
)

// The pages: plain forms, without a third party's anything. GET changes nothing, so a mail scanner uses nothing up.

// pageScript takes the token out of the link's fragment, where no log and no Referer sees it, and out of the address bar.
const pageScript = `"use strict";
const t = new URLSearchParams(location.hash.slice(1)).get("t");
if (t) {
  history.replaceState(null, "", location.pathname);
  const field = document.getElementById("token");
  field.value = t;
  if (location.pathname.endsWith("/reset")) field.form.submit(); // shows the next page, and uses nothing up
}
`

const pageStyle = `:root{color-scheme:light dark}body{font:1.1rem/1.5 system-ui,sans-serif;margin:0 auto;max-width:34rem;padding:1rem}
label{display:block;margin:1rem 0}input:not([type=checkbox]){display:block;width:100%;box-sizing:border-box;font:inherit;padding:.5rem}
button{font:inherit;padding:.5rem 1.5rem}[role=alert]{border-left:.3rem solid #c00;padding-left:.7rem}
`

// Handler answers everything that comes over HTTP. Forms from other sites are refused (net/http.CrossOriginProtection).
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{$}", s.api)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		s.show(w, http.StatusOK, view{Title: "Your account", Form: "links"})
	})
	mux.HandleFunc("GET /forgot", func(w http.ResponseWriter, _ *http.Request) {
		s.show(w, http.StatusOK, view{Title: "Forgot your password?", Form: "forgot"})
	})
	mux.HandleFunc("POST /forgot", s.postForgot)
	mux.HandleFunc("GET /reset", func(w http.ResponseWriter, _ *http.Request) {
		s.show(w, http.StatusOK, view{Title: "Reset your password", Form: "code", Action: "/reset"})
	})
	mux.HandleFunc("POST /reset", s.postReset)
	mux.HandleFunc("GET /activate", func(w http.ResponseWriter, _ *http.Request) {
		s.show(w, http.StatusOK, view{Title: "Activate your account", Form: "code", Action: "/activate"})
	})
	mux.HandleFunc("POST /activate", s.postActivate)
	mux.HandleFunc("GET /page.js", asset("text/javascript; charset=utf-8", pageScript))
	mux.HandleFunc("GET /page.css", asset("text/css; charset=utf-8", pageStyle))
	return http.NewCrossOriginProtection().Handler(mux)
}

func asset(kind, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write([]byte(text))
	}
}

func (s *Service) show(w http.ResponseWriter, status int, v view) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy",
		"default-src 'none'; script-src 'self'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	v.Min, v.Max = s.o.Policy.PasswordMin, s.o.Policy.PasswordMax
	w.WriteHeader(status)
	_, _ = w.Write([]byte(v.html())) // the client went away
}

// form reads a form within limits; ok is false when the answer was given.
func (s *Service) form(w http.ResponseWriter, r *http.Request) bool {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		s.show(w, http.StatusBadRequest, view{Title: "This form cannot be read", Form: "links"})
		return false
	}
	return true
}

func (s *Service) postForgot(w http.ResponseWriter, r *http.Request) {
	if !s.form(w, r) {
		return
	}
	email := r.PostForm.Get("email")
	if !validEmail(email) {
		s.show(w, http.StatusUnprocessableEntity, view{
			Title: "Forgot your password?", Problem: "This is no e-mail address. Write it as you registered it.", Form: "forgot",
		})
		return
	}
	s.forgot(r.Context(), forgotten{email, DoorWeb, network(r.RemoteAddr), ""})
	s.show(w, http.StatusOK, view{
		Title: "Look into your mail",
		Said:  "If there is an account with this address, a mail is on its way to it, with a link and a code. It may take a minute.",
	})
}

func (s *Service) postReset(w http.ResponseWriter, r *http.Request) {
	if !s.form(w, r) {
		return
	}
	token := r.PostForm.Get("token")
	_, a, err := s.linkOf(token, "reset")
	if err != nil {
		s.problem(w, err, view{Title: "Reset your password", Form: "code", Action: "/reset"})
		return
	}
	v := view{Title: "Choose a new password", Form: "reset", Token: token, Email: a.Email, Hubs: s.hubs(a.ID)}
	password := r.PostForm.Get("password")
	switch {
	case r.PostForm.Get("chosen") == "":
		s.show(w, http.StatusOK, v)
		return
	case password != r.PostForm.Get("again"):
		v.Problem = "The two passwords differ."
		s.show(w, http.StatusUnprocessableEntity, v)
		return
	}
	var leaveOut []string
	for _, hub := range v.Hubs {
		kept := false
		for _, name := range r.PostForm["hub"] {
			kept = kept || name == hub.Name
		}
		if !kept {
			leaveOut = append(leaveOut, hub.Name)
		}
	}
	if _, err := s.reset(r.Context(), token, password, leaveOut); err != nil {
		s.problem(w, err, v)
		return
	}
	s.show(w, http.StatusOK, view{
		Title: "Your password is reset",
		Said:  "Sign in with the new password, in every app. Your hubs are giving it to your devices.",
	})
}

func (s *Service) postActivate(w http.ResponseWriter, r *http.Request) {
	if !s.form(w, r) {
		return
	}
	if err := s.activate(r.PostForm.Get("token")); err != nil {
		s.problem(w, err, view{Title: "Activate your account", Form: "code", Action: "/activate"})
		return
	}
	s.show(w, http.StatusOK, view{Title: "Your account is active", Said: "Sign in with the password that you chose."})
}

// problem shows a form again, with what is wrong.
func (s *Service) problem(w http.ResponseWriter, err error, v view) {
	e, ok := errors.AsType[*v1.Error](err)
	if !ok {
		s.o.Log.Error("form not processed", "err", err)
		s.show(w, http.StatusInternalServerError, view{Title: "That did not work", Problem: "Try again in a minute.", Form: "links"})
		return
	}
	v.Problem = e.Message + "."
	s.show(w, http.StatusUnprocessableEntity, v)
}
