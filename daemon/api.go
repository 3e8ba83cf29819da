package daemon

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/rekeyd/rekeyd/daemon/home"
)

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

// FaceOptions are what the API shows, and the parts that it asks.
type FaceOptions struct {
	Engine      *Rekeyer
	Hub         home.HubID
	Link        func() (up bool, reason string)
	Answered    func() time.Time                      // when the account service last answered; may be nil
	History     func(limit int) ([]home.Event, error) // newest first
	Login       func(context.Context, Login) error
	Listed      func() (list []home.Listed, ok bool)     // of the vendor's cloud; nil where there is none
	Ended       func() bool                              // the vendor's cloud refuses the hub; nil for none
	Addresses   func() Addresses                         // may be nil
	Troubles    func() []home.Trouble                    // of this machine and its network; may be nil
	Failed      func() (home.Trouble, bool)              // why the last change could not be written; may be nil
	Snapshot    func(io.Writer) error                    // writes a copy of the store; may be nil
	Accounts    func(io.Writer) error                    // likewise of the account service here; nil for none
	Names       []string                                 // of this machine, under which the page answers
	Open        func() string                            // returns a link that signs a browser in, once; nil for none
	Changes     func() <-chan struct{}                   // closed at the next change of the house; may be nil
	SetPassword func(context.Context, home.Secret) error // of the pages; nil for none
	Waiting     func() []string                          // the ports that are not open yet; may be nil
	Version     string                                   // of the program
	Leave       func()                                   // ends the membership, and this API for a moment; may be nil
	Operator    http.Handler                             // answers POST /v1/account/ on the socket; nil for none
}

// Face is the HTTP API of the daemon.
type Face struct{ o FaceOptions }

// NewFace checks o.
func NewFace(o FaceOptions) (*Face, error) {
	if o.Engine == nil || o.Link == nil || o.History == nil || o.Login == nil {
		return nil, errors.New("face: engine, link, history and login are needed")
	}
	return &Face{o}, nil
}

// Public shows the house and changes nothing: for the page's port, which every local user can reach.
func (f *Face) Public() http.Handler {
	mux := http.NewServeMux()
	f.show(mux, f.PublicStatus)
	mux.HandleFunc("GET /healthz", f.healthz)
	mux.HandleFunc("GET /readyz", f.readyz)
	mux.HandleFunc("GET /metrics", f.metrics)
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
	mux.HandleFunc("POST /v1/probe", f.probe)
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
	ask(mux, "device-password", func(_ context.Context, in struct {
		Device   string `json:"device"`
		Password string `json:"password"`
	},
	) (any, error) {
		ids, err := f.o.Engine.named([]string{in.Device})
		if err != nil {
			return nil, err
		}
		return struct{}{}, f.o.Engine.OpenWith(ids[0], home.NewSecret(in.Password))
	})
	f.order(mux, "forget", f.o.Engine.Forget)
	ask(mux, "rename", func(_ context.Context, in struct {
		Device string `json:"device"`
		Name   string `json:"name"`
	},
	) (any, error) {
		ids, err := f.o.Engine.named([]string{in.Device})
		if err != nil {
			return nil, err
		}
		return struct{}{}, f.o.Engine.Rename(ids[0], in.Name)
	})
	mux.HandleFunc("POST /v1/login", f.login)
	if f.o.Snapshot != nil {
		mux.HandleFunc("GET /v1/snapshot", snapshot(f.o.Snapshot))
	}
	if f.o.Accounts != nil {
		mux.HandleFunc("GET /v1/account-snapshot", snapshot(f.o.Accounts))
	}
	if f.o.Leave != nil {
		ask(mux, "leave", f.leave)
	}
	if f.o.Changes != nil {
		mux.HandleFunc("GET /v1/changes", f.changes)
	}
	if f.o.Open != nil {
		ask(mux, "open", func(context.Context, struct{}) (any, error) {
			return map[string]string{"url": f.o.Open()}, nil
		})
	}
	if f.o.SetPassword != nil {
		ask(mux, "page-password", func(ctx context.Context, in struct {
			Password string `json:"password"`
		},
		) (any, error) {
			return struct{}{}, f.o.SetPassword(ctx, home.NewSecret(in.Password))
		})
	}
	if f.o.Operator != nil {
		mux.Handle("POST /v1/account/{$}", f.o.Operator)
	}
	return mux
}

// leave has the hub leave its account once the caller has the answer: the API ends for a moment then.
func (f *Face) leave(ctx context.Context, _ struct{}) (any, error) {
	if _, err := f.o.Engine.o.Ledger.Account(); err != nil {
		return nil, &home.Error{Op: "leave", Err: err, Hint: "there is nothing to do"}
	}
	context.AfterFunc(ctx, f.o.Leave)
	return struct{}{}, nil
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
