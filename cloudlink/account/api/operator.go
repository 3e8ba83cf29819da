package api

import (
	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
)

// doOperator carries out a call of the operator.
func (c *call) doOperator(method string) (result, error) {
	o := account.Operator{Service: c.s}
	switch method {
	case "register":
		var p struct{ Email, Password, AppType string }
		if err := c.read(&p, "email", "password"); err != nil {
			return nil, err
		}
		offer, err := o.Register(c.ctx, p.Email, p.Password, account.DoorOf(p.AppType), c.lang)
		return result{"code": offer.Code}, err
	case "getResetPasswordEmail":
		var p struct{ Email, AppType, Door string }
		if err := c.read(&p, "email"); err != nil {
			return nil, err
		}
		offer, err := o.Forgot(p.Email, account.DoorOf(p.AppType), c.lang)
		return result{"code": offer.Code, "activate": offer.Activate}, err
	case "activate", "resetInfo", "resetPassword":
		return c.do(method)
	}
	return nil, account.Refused(v1.InvalidInput, "Unknown method")
}
