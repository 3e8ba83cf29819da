package app

import (
	"bytes"
	"strings"

	"github.com/rekeyd/rekeyd/cloudlink/account/mail"
	"github.com/rekeyd/rekeyd/daemon"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// PageURL returns the URL of the house's page.
func (h *Hub) PageURL() string {
	if h.o.Base.URL != "" {
		return h.o.Base.URL
	}
	page, _, _ := strings.Cut(h.o.TLS.url("http", "https", h.page.dialable()), "#")
	return page
}

// AccountURL returns the URL of the account service that the hub was started with.
func (h *Hub) AccountURL() string {
	if h.o.Service != nil {
		return h.o.Service.URL()
	}
	return strings.TrimSuffix(h.o.AccountURL, "/")
}

// addresses describes the account service that the hub uses, and the certificate of the hub's own ports. The service is
// the one of the hub's account; before there is an account, and with one of the vendor's cloud, the one that the hub
// was started with.
func (h *Hub) addresses() daemon.Addresses {
	public, _, _ := strings.Cut(h.AccountURL(), "#")
	p := daemon.Addresses{AccountURL: h.AccountURL(), PublicURL: public}
	if h.o.TLS != nil {
		p.Fingerprint = h.o.TLS.Fingerprint
	}
	s, own := h.o.Service, h.o.Service != nil
	a, err := h.store.Account()
	if err == nil && a.Provider == home.Home && (!own || !bytes.Equal(a.ServiceKey, s.account.Identity().Keys.Sign)) {
		public, _, _ := strings.Cut(a.URL, "#")
		p.AccountURL, p.PublicURL, own = a.URL, public, false
	}
	if own {
		p.PublicURL = s.BaseURL()
		p.Embedded, p.PasswordMin = true, s.account.Policy().PasswordMin
		_, p.MailFiles = s.o.Mail.(mail.Folder)
	}
	return p
}
