package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Status is the house in one value: what GET /v1/status answers and `rekeyd status --json` prints.
type Status struct {
	// Account is the e-mail address; empty before the owner has signed in, and masked on the page's port.
	Account string `json:"account"`
	// Provider is whose cloud the account is at: "tplink" for the vendor's, absent for one that speaks rekeyd's own
	// protocol.
	Provider home.Provider `json:"provider,omitempty"`
	Epoch    home.Epoch    `json:"epoch"`
	Hub      home.HubID    `json:"hub"`
	Link     string        `json:"link"` // "up" or "down"
	Reason   string        `json:"reason,omitempty"`
	// BindLater reports that devices which prove a password of the account are bound by themselves.
	BindLater bool `json:"bind_later,omitempty"`
	Addresses
	Devices []Row `json:"devices"`
	// Unseen are devices that the vendor's cloud lists and that were not seen here; absent where its list is not known.
	Unseen []home.Listed `json:"unseen,omitempty"`
}

// Addresses is where people and programs reach the account service of this hub, and the certificate of the hub's own
// ports.
type Addresses struct {
	// AccountURL is where this machine reaches the account service, with the fingerprint of a certificate to pin.
	AccountURL string `json:"account_url,omitempty"`
	// PublicURL begins the links in mails of that service.
	PublicURL string `json:"public_url,omitempty"`
	// Fingerprint is the SHA-256 of the certificate of this hub's ports, in hexadecimal digits; empty without TLS.
	Fingerprint string `json:"fingerprint,omitempty"`
	// MailDir is where the account service writes its mails when it has no mail server; not on the page's port.
	MailDir string `json:"mail_dir,omitempty"`
}

// Login is what an owner gives to sign this hub in to their account.
type Login struct {
	AccountURL string // base URL of the account service; the hub's own when empty
	Email      string
	Password   home.Secret
	Pairing    home.Secret // instead of e-mail and password: the one-time word of the account's page
	Provider   home.Provider
	Code       string // that the vendor's cloud has sent by e-mail
	Exposed    bool   // somebody else may know the password before: the vendor's cloud does not report that
}

// FaceOptions are what the API and the page show, and whom they ask.
type FaceOptions struct {
	Engine    *Rekeyer
	Hub       home.HubID
	Link      func() (up bool, reason string)
	History   func(limit int) ([]home.Event, error) // newest first
	Login     func(context.Context, Login) error
	Listed    func() (list []home.Listed, ok bool) // of the vendor's cloud; nil where there is none
	Addresses func() Addresses                     // may be nil
	Names     []string                             // of this machine, under which the page answers
}

// Face is the HTTP API of the daemon, and its page.
type Face struct{ o FaceOptions }

// NewFace checks o.
func NewFace(o FaceOptions) (*Face, error) {
	if o.Engine == nil || o.Link == nil || o.History == nil || o.Login == nil {
		return nil, errors.New("face: engine, link, history and login are needed")
	}
	return &Face{o}, nil
}

// Status returns the house as it is now.
func (f *Face) Status() (Status, error) {
	a, rows, err := f.o.Engine.House()
	if err != nil {
		return Status{}, err
	}
	s := Status{
		Account: a.Email, Provider: a.Provider, Epoch: a.Epoch, Hub: f.o.Hub, Link: "down", Devices: rows,
		BindLater: a.BindLater,
	}
	up, reason := f.o.Link()
	if up {
		s.Link = "up"
	}
	s.Reason = reason
	if f.o.Addresses != nil {
		s.Addresses = f.o.Addresses()
	}
	if f.o.Listed != nil && a.Provider == home.TPLink {
		if list, ok := f.o.Listed(); ok {
			s.Unseen = compare(list, s.Devices)
		}
	}
	return s, nil
}

// compare sets in each row whether the list of a cloud has its device, and returns the listed devices that have no row.
func compare(list []home.Listed, rows []Row) []home.Listed {
	at := map[string]int{}
	for i, r := range rows {
		if r.MAC != "" {
			at[r.MAC] = i
		}
		if r.Protocol != "" && r.Protocol != home.Native {
			no := false
			rows[i].Listed = &no
		}
	}
	var unseen []home.Listed
	for _, d := range list {
		i, ok := at[d.MAC]
		if !ok {
			unseen = append(unseen, d)
			continue
		}
		yes := true
		rows[i].Listed = &yes
	}
	return unseen
}

// PublicStatus returns the house as every local user may see it: the e-mail address of the account is masked.
func (f *Face) PublicStatus() (Status, error) {
	s, err := f.Status()
	s.Account, s.MailDir = mask(s.Account), ""
	return s, err
}

// mask keeps the first letter and the domain of an e-mail address, by which its owner recognises it.
func mask(email string) string {
	local, domain, ok := strings.Cut(email, "@")
	switch {
	case email == "":
		return ""
	case !ok || local == "":
		return "***"
	}
	_, size := utf8.DecodeRuneInString(local)
	return local[:size] + "***@" + domain
}

// Public shows the house and changes nothing: for the page's port, which every local user can reach.
func (f *Face) Public() http.Handler {
	mux := http.NewServeMux()
	f.show(mux, f.PublicStatus)
	mux.HandleFunc("GET /{$}", f.page)
	return f.guard(mux)
}

// Private also takes orders: for a socket that only the daemon's own user can open.
func (f *Face) Private() http.Handler {
	mux := http.NewServeMux()
	f.show(mux, f.Status)
	f.order(mux, "bind", f.o.Engine.Bind)
	f.order(mux, "bind-ours", f.o.Engine.BindOurs)
	f.order(mux, "allow-cleartext", f.o.Engine.AllowCleartext)
	f.order(mux, "forbid-cleartext", f.o.Engine.ForbidCleartext)
	f.order(mux, "unbind", f.o.Engine.Unbind)
	f.order(mux, "rekey", func(ids []home.DeviceID) error { return f.o.Engine.Rekey(ids, false) })
	f.order(mux, "rekey-all", func([]home.DeviceID) error { return f.o.Engine.RekeyAll() })
	f.order(mux, "try", f.o.Engine.TryRekey)
	f.order(mux, "restart", func(ids []home.DeviceID) error { return f.o.Engine.Rekey(ids, true) })
	ask(mux, "probe", func(ctx context.Context, in struct {
		Devices []string `json:"devices"`
	},
	) (any, error) {
		ids, err := f.o.Engine.named(in.Devices)
		if err != nil {
			return nil, err
		}
		return f.o.Engine.Probe(ctx, ids)
	})
	ask(mux, "bind-later", func(_ context.Context, in struct {
		On bool `json:"on"`
	},
	) (any, error) {
		return struct{}{}, f.o.Engine.BindLater(in.On)
	})
	ask(mux, "remember", func(_ context.Context, in struct {
		Email     string   `json:"email"`
		Passwords []string `json:"passwords"`
	},
	) (any, error) {
		passwords := make([]home.Secret, len(in.Passwords))
		for i, p := range in.Passwords {
			passwords[i] = home.NewSecret(p)
		}
		added, err := f.o.Engine.Remember(in.Email, passwords)
		return map[string]int{"added": added}, err
	})
	mux.HandleFunc("POST /v1/login", f.login)
	return mux
}

// show adds the calls that change nothing. status decides whether the e-mail address is masked.
func (f *Face) show(mux *http.ServeMux, status func() (Status, error)) {
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) {
		s, err := status()
		if err != nil {
			refuse(w, err)
			return
		}
		answer(w, s)
	})
	mux.HandleFunc("GET /v1/history", func(w http.ResponseWriter, r *http.Request) {
		limit, err := strconv.Atoi(r.FormValue("limit"))
		if err != nil || limit < 1 || limit > 10_000 {
			limit = 100
		}
		events, err := f.o.History(limit)
		if err != nil {
			refuse(w, err)
			return
		}
		answer(w, events)
	})
}

// order adds a call for devices, each by its ID or by a name that it alone has.
func (f *Face) order(mux *http.ServeMux, name string, do func([]home.DeviceID) error) {
	ask(mux, name, func(_ context.Context, in struct {
		Devices []string `json:"devices"`
	},
	) (any, error) {
		ids, err := f.o.Engine.named(in.Devices)
		if err != nil {
			return nil, err
		}
		return struct{}{}, do(ids)
	})
}

// ask adds a call.
func ask[In any](mux *http.ServeMux, name string, do func(context.Context, In) (any, error)) {
	mux.HandleFunc("POST /v1/"+name, func(w http.ResponseWriter, r *http.Request) {
		var in In
		err := read(w, r, &in)
		if err == nil {
			var out any
			if out, err = do(r.Context(), in); err == nil {
				answer(w, out)
				return
			}
		}
		refuse(w, err)
	})
}

// login has the hub sign in to an account. Its caller waits at most 30 seconds.
func (f *Face) login(w http.ResponseWriter, r *http.Request) {
	var in struct {
		AccountURL string `json:"account_url"`
		Email      string `json:"email"`
		Password   string `json:"password"`
		Pairing    string `json:"pairing"`
		Provider   string `json:"provider"`
		Code       string `json:"code"`
		Exposed    bool   `json:"exposed"`
	}
	if err := read(w, r, &in); err != nil {
		refuse(w, err)
		return
	}
	ctx, stop := context.WithTimeout(r.Context(), 30*time.Second)
	defer stop()
	err := f.o.Login(ctx, Login{
		AccountURL: in.AccountURL, Email: in.Email, Password: home.NewSecret(in.Password),
		Pairing:  home.NewSecret(in.Pairing),
		Provider: home.Provider(in.Provider), Code: in.Code, Exposed: in.Exposed,
	})
	if err != nil {
		refuse(w, err)
		return
	}
	answer(w, struct{}{})
}

// read decodes the one JSON value of a request, of at most 1 MiB, into a struct that has all of its fields.
func read(w http.ResponseWriter, r *http.Request, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return &home.Error{Op: "read the request", Err: errors.New("malformed JSON or an unknown field")}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return &home.Error{Op: "read the request", Err: errors.New("more than one JSON value")}
	}
	return nil
}

// answer sends v as JSON.
func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client has gone
}

// Refusal is an error on its way to a client, which makes it a home.Error again.
type Refusal struct {
	Op     string        `json:"op"`
	Device home.DeviceID `json:"device,omitempty"`
	Error  string        `json:"error"`
	Hint   string        `json:"hint,omitempty"`
	Code   string        `json:"code,omitempty"` // the sentinel; see home.ErrorCode
}

// refuse answers with a Refusal.
func refuse(w http.ResponseWriter, err error) {
	out := Refusal{Op: "answer", Error: err.Error(), Hint: home.HintOf(err), Code: home.ErrorCode(err)}
	if e, ok := errors.AsType[*home.Error](err); ok {
		out.Op, out.Device, out.Error = e.Op, e.Device, e.Err.Error()
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusConflict)
	_ = json.NewEncoder(w).Encode(out)
}

// guard refuses requests under a name that is not this machine's: see home.OwnHost.
func (f *Face) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !home.OwnHost(home.HostOf(r), f.o.Names...) {
			http.Error(w, "ask for this page by address", http.StatusMisdirectedRequest)
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
