package daemon

import (
	"fmt"
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
	// Ended reports that the vendor's cloud refuses this hub's sign-in: the password was probably changed, and no device
	// is known to hold the new one.
	Ended bool `json:"ended,omitempty"`
	// AsOf is when the account service last answered, where the link is down; zero where that is not known.
	AsOf time.Time `json:"as_of,omitzero"`
	// BindLater reports that devices which prove a password of the account are bound by themselves.
	BindLater bool `json:"bind_later,omitempty"`
	// Acting are the other hubs of the account that move devices here, while this one stands by; absent for none.
	Acting []Acting `json:"acting,omitempty"`
	// Troubles are what stops a part of the work until a person changes it; absent for none.
	Troubles []home.Trouble `json:"troubles,omitempty"`
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
	// Embedded reports that the account service runs in this daemon: its operator's calls are on the control socket.
	Embedded bool `json:"embedded,omitempty"`
	// MailFiles reports that it has no mail server, and writes mails to files.
	MailFiles bool `json:"mail_files,omitempty"`
	// PasswordMin is the least length of a password there.
	PasswordMin int `json:"password_min,omitempty"`
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
	s.Acting = acting(rows)
	up, reason := f.o.Link()
	if up {
		s.Link = "up"
	}
	s.Reason = reason
	if !up && f.o.Answered != nil && a.Provider == home.Home {
		s.AsOf = f.o.Answered()
	}
	if f.o.Troubles != nil {
		s.Troubles = f.o.Troubles()
	}
	if f.o.Addresses != nil {
		s.Addresses = f.o.Addresses()
	}
	s.Ended = f.o.Ended != nil && a.Provider == home.TPLink && f.o.Ended()
	if f.o.Listed != nil && a.Provider == home.TPLink {
		if list, ok := f.o.Listed(); ok {
			s.Unseen = compare(list, s.Devices)
		}
	}
	return s, nil
}

// Progress returns in a sentence how many devices are signed in. Those whose protocol cannot prove it are counted
// apart. With the link down it is as of the last answer. Where the password was changed it says so instead.
func (s Status) Progress() string {
	if s.Ended {
		return "Your password was probably changed at TP-Link. Give the new one once: " +
			"rekeyd login EMAIL --provider tplink"
	}
	var bound, current, unproven int
	for _, r := range s.Devices {
		if !r.Bound {
			continue
		}
		bound++
		if r.Verdict != home.Current {
			continue
		}
		current++
		if r.Unproven {
			unproven++
		}
	}
	line := fmt.Sprintf("%d of %d devices are signed in with the newest password", current, bound)
	if unproven > 0 {
		line += fmt.Sprintf(" (%d of them cannot prove it)", unproven)
	}
	if !s.AsOf.IsZero() {
		line += ", as of " + clock(s.AsOf)
	}
	return line
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
	s.Account = mask(s.Account)
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
