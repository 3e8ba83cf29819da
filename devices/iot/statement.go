package iot

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"unicode"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// The modules that keep what belongs to the account, of plugs and switches and of bulbs.
const (
	plugCloud = "cnCloud"
	bulbCloud = "smartlife.iot.common.cloud"
)

// question asks who a device is, and whose, in one message.
const question = `{"system":{"get_sysinfo":{}},"` + plugCloud + `":{"get_info":{}},"` + bulbCloud + `":{"get_info":{}}}`

// errAnswer says that what came is no answer of this protocol. It never quotes what came.
var errAnswer = errors.New("no answer of this protocol")

// reply is what a device answers: a value for each module that was asked.
type reply map[string]json.RawMessage

func parseReply(raw []byte) (reply, error) {
	var r reply
	if json.Unmarshal(raw, &r) != nil || len(r) == 0 {
		return nil, errAnswer
	}
	return r, nil
}

// result is what came of a method: a code, 0 for success, and what the device says of it.
type result struct {
	Code int
	Msg  string
}

// result reads what a method answered into `into` (where it is not nil) and returns the answer's code: that of the method, or
// that of the module where the device does not have it.
func (r reply) result(module, method string, into any) (result, error) {
	raw, ok := r[module]
	if !ok {
		return result{}, errAnswer
	}
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil {
		return result{}, errAnswer
	}
	of, ok := m[method]
	if !ok {
		of = raw
	}
	var status struct {
		Code *int            `json:"err_code"`
		Msg  json.RawMessage `json:"err_msg"`
	}
	if json.Unmarshal(of, &status) != nil || status.Code == nil || !ok && *status.Code == 0 {
		return result{}, errAnswer
	}
	if *status.Code == 0 && into != nil && json.Unmarshal(of, into) != nil {
		return result{}, errAnswer
	}
	res := result{Code: *status.Code}
	_ = json.Unmarshal(status.Msg, &res.Msg) // what is no text is no words
	return res, nil
}

// statement is what a device says of itself.
type statement struct {
	keys   []string // "mac:…", "iot:…"
	name   string
	model  string
	kind   home.Kind
	module string // of the cloud
	cloud  *cloud // nil where the device has no such module
}

// cloud is what a device says of its account.
type cloud struct {
	username  string
	binded    int
	connected int // 1 when its cloud has it now, else 0; -1 was told of, too
}

type sysinfo struct {
	DeviceID string   `json:"deviceId"`
	MAC      string   `json:"mac"`
	MicMAC   string   `json:"mic_mac"`
	Type     string   `json:"type"`
	MicType  string   `json:"mic_type"`
	Model    string   `json:"model"`
	DevName  string   `json:"dev_name"`
	Alias    string   `json:"alias"`
	Nested   *sysinfo `json:"system"` // cameras nest it
}

// parseStatement reads the answer to question.
func parseStatement(raw []byte) (statement, error) {
	r, err := parseReply(raw)
	if err != nil {
		return statement{}, err
	}
	return r.statement()
}

// statement is what the reply says of the device, as far as its modules were asked.
func (r reply) statement() (statement, error) {
	var i sysinfo
	if res, err := r.result("system", "get_sysinfo", &i); err != nil || res.Code != 0 {
		return statement{}, errAnswer
	}
	if i.Nested != nil {
		i = *i.Nested
	}
	s := statement{name: clean(i.Alias), model: clean(i.Model), kind: kindOf(i)}
	if mac := hexDigits(cmp.Or(i.MAC, i.MicMAC), 12); mac != "" && mac != "000000000000" {
		s.keys = append(s.keys, "mac:"+mac)
	}
	if id := hexDigits(i.DeviceID, 40); id != "" {
		s.keys = append(s.keys, "iot:"+strings.ToUpper(id))
	}
	if len(s.keys) == 0 {
		return statement{}, errAnswer
	}
	// Where a device answers in both, as one light strip does, its binding is in the bulbs'.
	for _, module := range []string{bulbCloud, plugCloud} {
		var info struct {
			Username  string `json:"username"`
			Binded    *int   `json:"binded"`
			Connected int    `json:"cld_connection"`
		}
		if _, asked := r[module]; !asked {
			continue
		}
		res, err := r.result(module, "get_info", &info)
		if err != nil {
			return statement{}, err
		}
		if res.Code == 0 && info.Binded != nil {
			s.module, s.cloud = module, &cloud{info.Username, *info.Binded, info.Connected}
			break
		}
	}
	return s, nil
}

// is tells whether the device that speaks is the one that was meant: it has one of its identities, and none that contradicts.
func (s statement) is(d home.Device) bool {
	known := d.Keys
	if class, rest, ok := strings.Cut(string(d.ID), "-"); ok && (class == "mac" || class == "iot") {
		if class == "iot" {
			rest = strings.ToUpper(rest)
		}
		known = append(slices.Clone(known), class+":"+rest)
	}
	same := false
	for _, k := range s.keys {
		class, _, _ := strings.Cut(k, ":")
		switch {
		case slices.Contains(known, k):
			same = true
		case slices.ContainsFunc(known, func(o string) bool { return strings.HasPrefix(o, class+":") }):
			return false
		}
	}
	return same
}

// whose tells whose the device says it is. binded is to be trusted, a username without it not: it stays behind after a reset.
func (s statement) whose(email string) home.Match {
	switch {
	case s.cloud == nil:
		return home.Unknown
	case s.cloud.binded == 0:
		return home.Unbound
	case email == "":
		return home.Unknown
	case strings.EqualFold(s.cloud.username, email):
		return home.Ours
	}
	return home.Foreign
}

// describe returns d with what the device says of itself.
func (s statement) describe(d home.Device) home.Device {
	d.Keys = slices.Clone(d.Keys)
	for _, k := range s.keys {
		if !slices.Contains(d.Keys, k) {
			d.Keys = append(d.Keys, k)
		}
	}
	d.Name, d.Model = cmp.Or(s.name, d.Name), cmp.Or(s.model, d.Model)
	if s.kind != home.Other || d.Kind == "" {
		d.Kind = s.kind
	}
	return d
}

// kindOf tells a plug from a switch, which share a type, by the model or the maker's description.
func kindOf(i sysinfo) home.Kind {
	model, described := strings.ToUpper(i.Model), strings.ToLower(i.DevName)
	switch typ := strings.ToUpper(cmp.Or(i.Type, i.MicType)); {
	case strings.Contains(typ, "SMARTBULB"):
		return home.Bulb
	case strings.Contains(typ, "IPCAMERA"):
		return home.Camera
	case !strings.Contains(typ, "SMARTPLUGSWITCH"):
		return home.Other
	case strings.HasPrefix(model, "HS2"), strings.HasPrefix(model, "KS2"), strings.HasPrefix(model, "ES2"),
		strings.Contains(described, "switch") && !strings.Contains(described, "plug"):
		return home.Switch
	}
	return home.Plug
}

// hexDigits returns the n hexadecimal digits of text, lower case, without what separates them, or nothing when it has others.
func hexDigits(text string, n int) string {
	digits := strings.ToLower(strings.NewReplacer(":", "", "-", "").Replace(text))
	if len(digits) != n || strings.Trim(digits, "0123456789abcdef") != "" {
		return ""
	}
	return digits
}

// maxText is the longest text of a device that is kept, in bytes.
const maxText = 120

// clean makes what a device says fit to print.
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
