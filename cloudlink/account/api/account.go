package api

import (
	"time"

	"github.com/rekeyd/rekeyd/cloudlink/account"
	"github.com/rekeyd/rekeyd/cloudlink/v1"
)

// login opens a session. Too many failures, a locked account and a wrong password have codes of their own; an unknown
// address is answered like a wrong password.
func (c *call) login() (result, error) {
	var p struct {
		AppType, CloudUserName, CloudPassword, TerminalUUID string
		RefreshTokenNeeded                                  bool
	}
	if err := c.read(&p, "appType", "cloudUserName", "cloudPassword", "terminalUUID"); err != nil {
		return nil, err
	}
	if len(p.TerminalUUID) > 128 {
		return nil, account.Refused(v1.InvalidInput, "terminalUUID is too long")
	}
	in, err := c.s.Login(c.ctx, account.Login{
		Email: p.CloudUserName, Password: p.CloudPassword, Door: account.DoorOf(p.AppType), Terminal: p.TerminalUUID,
		From:    c.from,
		Refresh: p.RefreshTokenNeeded, TerminalCookie: c.s.TerminalCookie(c.r),
	})
	if err != nil {
		return nil, err
	}
	c.s.SetTerminalCookie(c.w, in.TerminalCookie)
	res := result{
		"accountId": in.Account.ID, "regTime": in.Account.At.Format(time.DateTime), "countryCode": "", "riskDetected": 0,
		"nickname": "",
		"email":    in.Account.Email, "token": in.Token,
	}
	if in.Refresh != "" {
		res["refreshToken"] = in.Refresh
	}
	return res, nil
}

func (c *call) refreshToken() (result, error) {
	var p struct{ AppType, TerminalUUID, RefreshToken string }
	if err := c.read(&p, "appType", "terminalUUID", "refreshToken"); err != nil {
		return nil, err
	}
	token, err := c.s.Renew(p.RefreshToken, p.TerminalUUID)
	return result{"token": token}, err
}

func (c *call) register() (result, error) {
	var p struct{ Email, Password, AppType string }
	if err := c.read(&p, "email", "password"); err != nil {
		return nil, err
	}
	err := c.s.Register(c.ctx, p.Email, p.Password, account.DoorOf(p.AppType), c.lang, c.from)
	return result{"mailed": c.s.NeedsActivation()}, err
}

func (c *call) activate() (result, error) {
	var p struct{ Token string }
	if err := c.read(&p, "token"); err != nil {
		return nil, err
	}
	return nil, c.s.Activate(c.ctx, p.Token)
}

// forgot has a reset link mailed. The answer is the same whether or not the address has an account.
func (c *call) forgot() (result, error) {
	var p struct{ Email, AppType, Door string }
	if err := c.read(&p, "email"); err != nil {
		return nil, err
	}
	if p.Door == "" {
		p.Door = account.DoorOf(p.AppType)
	}
	if !account.IsDoor(p.Door) {
		return nil, account.Refused(v1.InvalidInput, "door: want kasa, tpcamera or web")
	}
	if !c.s.Forgot(c.ctx, p.Email, p.Door, c.from, c.lang) {
		return nil, account.Refused(v1.InvalidEmail, "Invalid email")
	}
	return nil, nil
}

// resetInfo shows the account, door and hubs of a reset link before it is used. Whoever has the link can set the
// password anyway.
func (c *call) resetInfo() (result, error) {
	var p struct{ Token string }
	if err := c.read(&p, "token"); err != nil {
		return nil, err
	}
	l, err := c.s.LinkOf(p.Token, account.PurposeReset)
	if err != nil {
		return nil, err
	}
	return result{"email": l.Email, "door": l.Door, "hubs": l.Hubs}, nil
}

// resetPassword uses a link. The answer counts the hubs and devices that the reset reaches.
func (c *call) resetPassword() (result, error) {
	var p struct {
		Token, NewPassword string
		LeaveOut           []string
		Exposed            bool
	}
	if err := c.read(&p, "token", "newPassword"); err != nil {
		return nil, err
	}
	b, err := c.s.Reset(c.ctx, p.Token, p.NewPassword, account.Choices{LeaveOut: p.LeaveOut, Exposed: p.Exposed})
	if err != nil {
		return nil, err
	}
	hubs, devices, err := c.s.HubsAndDevices(b.Account)
	return result{"epoch": b.Epoch, "hubs": hubs, "devices": devices}, err
}

// modifyPassword changes the password of an owner who knows the present one. The token may be absent: the password is
// the proof.
func (c *call) modifyPassword() (result, error) {
	var p struct {
		CloudUserName, OldCloudPassword, NewCloudPassword, AppType string
		Exposed                                                    bool
	}
	if err := c.read(&p, "cloudUserName", "oldCloudPassword", "newCloudPassword"); err != nil {
		return nil, err
	}
	_, err := c.s.ChangePassword(c.ctx, account.PasswordChange{
		Email: p.CloudUserName, Old: p.OldCloudPassword, New: p.NewCloudPassword, Door: account.DoorOf(p.AppType),
		From: c.from, Token: c.token, Choices: account.Choices{Exposed: p.Exposed},
	})
	return nil, err
}

// status answers the same for every address.
func (c *call) status() (result, error) {
	var p struct{ AppType, CloudUserName string }
	if err := c.read(&p, "appType", "cloudUserName"); err != nil {
		return nil, err
	}
	return result{"accountStatus": 1, "appServerUrl": c.s.BaseURL()}, nil
}

// bindDevice is how a device of the vendor's signs itself in, with the password that it was given. It does not make
// the device part of a house: a hub binds it. Devices are scoped by account, so the answer depends on nothing in
// another account.
func (c *call) bindDevice() (result, error) {
	var p struct{ DeviceID, CloudUserName, CloudPassword string }
	if err := c.read(&p, "deviceId", "cloudUserName", "cloudPassword"); err != nil {
		return nil, err
	}
	a, err := c.s.Authenticate(c.ctx, p.CloudUserName, p.CloudPassword, account.Visitor{From: c.from, Device: true})
	if err != nil {
		return nil, err
	}
	return result{"accountId": a.ID}, nil
}
