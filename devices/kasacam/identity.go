package kasacam

import (
	"encoding/json"
	"strings"

	"github.com/rekeyd/rekeyd/daemon/home"
	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/nameplate"
)

// identity is a camera's statement about itself.
type identity struct {
	nameplate.Plate
	known    bool // whether it states an owner, or that it has none
	bound    bool
	username string
}

// parseIdentity reads the answer to identityRequest.
func parseIdentity(raw []byte) (identity, error) {
	type sysinfo struct {
		MAC   string `json:"mac"`
		Model string `json:"model"`
		Alias string `json:"alias"`
		Bound *bool  `json:"bind_status"`
	}
	var got struct {
		System struct {
			Info struct {
				Code   *int     `json:"err_code"`
				Nested *sysinfo `json:"system"`
				sysinfo
			} `json:"get_sysinfo"`
		} `json:"system"`
		Cloud struct {
			Info struct {
				Code     *int   `json:"err_code"`
				Username string `json:"username"`
				Bound    *int   `json:"binded"`
			} `json:"get_info"`
		} `json:"smartlife.cam.ipcamera.cloud"`
	}
	if json.Unmarshal(raw, &got) != nil || got.System.Info.Code == nil || *got.System.Info.Code != 0 {
		return identity{}, failure.ErrProtocol
	}
	i := got.System.Info.sysinfo
	if got.System.Info.Nested != nil {
		i = *got.System.Info.Nested
	}
	mac := nameplate.MAC(i.MAC)
	if mac == "" {
		return identity{}, failure.ErrProtocol
	}
	id := identity{Plate: nameplate.New(mac, i.Alias, i.Model, home.Camera)}
	switch c := got.Cloud.Info; {
	case c.Code != nil && *c.Code == 0 && c.Bound != nil:
		id.known, id.bound, id.username = true, *c.Bound != 0, c.Username
	case i.Bound != nil && !*i.Bound: // without the cloud module only "no owner" is certain
		id.known = true
	}
	return id, nil
}

// owner returns whose camera it is, as it states.
func (i identity) owner(email string) home.Match {
	switch {
	case !i.known:
		return home.Unknown
	case !i.bound:
		return home.Unbound
	case email == "" || i.username == "":
		return home.Unknown
	case strings.EqualFold(i.username, email):
		return home.Ours
	}
	return home.Foreign
}
