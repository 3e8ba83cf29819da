// Package mail writes the account service's letters, keeps them in a queue, and hands them to a server or a folder.
package mail

import (
	"context"
	"errors"
	"net/mail"
	"strings"
	"time"
)

// Mail is one mail to one address.
type Mail struct {
	ID      string // the same at every try: part of its Message-ID; the store gives it
	Account string // whose history records it when no server takes it; empty for an address without an account
	To      string
	Lang    string // a tag of package language
	Subject string
	Text    string
	HTML    string // the same content, for programs that show HTML
	At      time.Time
	Expires time.Time // its link is worthless from then on
}

// Mailer hands a mail over. Send returns nil once a server has accepted the mail, and ErrNever when a retry is
// pointless. It can be called again with a mail that was accepted: a mail that comes twice is better than none. It is
// called for several mails at once.
type Mailer interface {
	Send(context.Context, Mail) error
}

// ErrNever is the error of a Mailer for a mail that was refused for good.
var ErrNever = errors.New("refused for good")

// Queued is a mail in the queue.
type Queued struct {
	Mail
	Number uint64    // in the queue
	Tries  int       // that failed
	Due    time.Time // of the next try
}

// Store is the queue on disk. Mails enter it in the transaction of the change that they report.
type Store interface {
	// ClaimMails returns at most n mails that are due at now, and postpones each to until: no other sender sends it
	// meanwhile. A mail that is due later than LongestWait from now is due, too: it was queued while the clock was ahead.
	// next is when the earliest of the other mails is due; zero for none.
	ClaimMails(now, until time.Time, n int) (due []Queued, next time.Time, err error)
	// PostponeMail gives a claimed mail another due time, and stores its tries.
	PostponeMail(q Queued, due time.Time) error
	// DropMail deletes a claimed mail from the queue. undelivered writes that into the history of the mail's account.
	DropMail(q Queued, undelivered bool, at time.Time) error
}

// ValidAddress accepts one plain address of ASCII characters, so that no two look alike.
func ValidAddress(email string) bool {
	a, err := mail.ParseAddress(email)
	return err == nil && a.Address == email && a.Name == "" && len(email) <= 254 && strings.Count(email, "@") == 1 &&
		!strings.ContainsFunc(email, func(r rune) bool {
			return r <= ' ' || r > '~' || strings.ContainsRune(`"<>(),;:\[]`, r)
		})
}
