package kasacam

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"unicode"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// errAnswer says that what came is no answer of this protocol. It never quotes what came.
var errAnswer = errors.New("no answer of this protocol")

// statement is what a camera says of itself.
type statement struct {
	mac, name, model string
	told             bool // whether it says whose it is
	bound            bool
	username         string
}

// parseStatement reads the answer to question.
func parseStatement(raw []byte) (statement, error) {
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
		return statement{}, errAnswer
	}
	i := got.System.Info.sysinfo
	if got.System.Info.Nested != nil {
		i = *got.System.Info.Nested
	}
	s := statement{mac: hexDigits(i.MAC), name: clean(i.Alias), model: clean(i.Model)}
	if s.mac == "" {
		return statement{}, errAnswer
	}
	switch c := got.Cloud.Info; {
	case c.Code != nil && *c.Code == 0 && c.Bound != nil:
		s.told, s.bound, s.username = true, *c.Bound != 0, c.Username
	case i.Bound != nil && !*i.Bound: // without the cloud's word: to nobody can be told, to whom cannot
		s.told = true
	}
	return s, nil
}

// is tells whether the camera is the one that was meant.
func (s statement) is(d home.Device) bool {
	if mac, ok := strings.CutPrefix(string(d.ID), "mac-"); ok {
		return mac == s.mac
	}
	return slices.Contains(d.Keys, "mac:"+s.mac)
}

// whose tells whose the camera says it is.
func (s statement) whose(email string) home.Match {
	switch {
	case !s.told:
		return home.Unknown
	case !s.bound:
		return home.Unbound
	case email == "" || s.username == "":
		return home.Unknown
	case strings.EqualFold(s.username, email):
		return home.Ours
	}
	return home.Foreign
}

func (s statement) describe(d home.Device) home.Device {
	d.Keys = slices.Clone(d.Keys)
	if k := "mac:" + s.mac; !slices.Contains(d.Keys, k) {
		d.Keys = append(d.Keys, k)
	}
	d.Name, d.Model, d.Kind = cmp.Or(s.name, d.Name), cmp.Or(s.model, d.Model), home.Camera
	return d
}

// hexDigits returns the twelve digits of a hardware address, lower case, or nothing.
func hexDigits(text string) string {
	mac := strings.ToLower(strings.NewReplacer(":", "", "-", "").Replace(text))
	if len(mac) != 12 || strings.Trim(mac, "0123456789abcdef") != "" || mac == "000000000000" {
		return ""
	}
	return mac
}

// maxText is the longest text of a camera that is kept, in bytes.
const maxText = 120

// clean makes what a camera says fit to print.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") // not half a letter
	}
	return strings.TrimSpace(s)
}
