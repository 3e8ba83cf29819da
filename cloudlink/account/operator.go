package account

import (
	"context"
	"errors"

	"github.com/rekeyd/rekeyd/cloudlink/account/mail"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// Operator is the user who runs the daemon with an embedded service, and calls it over the daemon's own socket. This
// user can read the mails of the service, so the answers hold the code that is mailed. The limits on strangers do not
// apply.
type Operator struct{ *Service }

// Offer is a code as it is typed, and whether it activates a registration or resets a password.
type Offer struct {
	Code     string
	Activate bool
}

// Register is Service.Register. The Offer is zero where accounts need no activation. Error: EmailTaken, too.
func (o Operator) Register(ctx context.Context, email, password, door, lang string) (Offer, error) {
	if err := o.checkRegistration(email, password); err != nil {
		return Offer{}, err
	}
	switch _, err := o.st.AccountByEmail(email); {
	case err == nil:
		return Offer{}, errTaken
	case !errors.Is(err, home.ErrNotFound):
		return Offer{}, err
	}
	r, token, err := o.newRegistration(ctx, email, password, door, lang)
	if err != nil {
		return Offer{}, err
	}
	if !o.o.Policy.Activation {
		return Offer{}, o.create(r, "")
	}
	m := o.letters.Activate(mail.Recipient{Email: email, Lang: lang}, token, r.At, activateLife)
	err = o.st.Register(r, o.room(m))
	poke(o.mails)
	return Offer{mail.Code(token), true}, err
}

// Forgot is Service.Forgot. An address without an account or a registration is v1.NotRegistered.
func (o Operator) Forgot(email, door, lang string) (Offer, error) {
	if !mail.ValidAddress(email) {
		return Offer{}, Refused(v1.InvalidEmail, "Invalid email")
	}
	f, activate := forgotten{email: email, door: door, lang: lang}, false
	token, err := o.offerReset(f, o.Now())
	if errors.Is(err, home.ErrNotFound) {
		activate = true
		token, err = o.offerActivation(email, o.Now())
	}
	if errors.Is(err, home.ErrNotFound) {
		err = Refused(v1.NotRegistered, "No account has this address")
	}
	return Offer{mail.Code(token), activate}, err
}
