package daemon

import (
	"fmt"
	"strings"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// tpCameraOnly reports whether a device is a camera of the NC class, which works with the tpCamera app only
// (cloudlink/account/FACTS.md, section 1), by its model.
func tpCameraOnly(model string) bool {
	rest, nc := strings.CutPrefix(strings.ToUpper(model), "NC")
	return nc && rest != "" && rest[0] >= '0' && rest[0] <= '9'
}

// mark adds the hint for a camera of the NC class. It leaves all others as they are.
func (r *Row) mark(name string) {
	if !tpCameraOnly(r.Model) {
		return
	}
	if r.Detail != "" {
		r.Detail += "; "
	}
	r.Detail += "cameras of its class work with the tpCamera app only"
	if r.Kind == home.Other || r.Kind == "" {
		r.Kind = home.Camera
	}
	switch {
	case r.Verdict != home.Unsupported || r.Consent:
	case r.Protocol == home.NC:
		r.Hint = fmt.Sprintf("change the password of %s in the tpCamera app, or, if this hub is to follow its account, "+
			"sign in with: rekeyd login EMAIL --provider tplink", name)
	default:
		r.Hint = fmt.Sprintf("change the password of %s in the tpCamera app, because it does not answer rekeyd", name)
	}
}
