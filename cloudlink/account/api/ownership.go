package api

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// changesOwner returns whether a request to a device can change its owner, the credential that it holds or the cloud
// that it asks, or can reset it. Such a request is found at any depth, because devices take several commands in one
// (IOT: several modules, each with its functions, and "context" around them; SMART and cameras: multipleRequest and
// control_child, with a request in a text). Letter case, "_" and "-" are ignored.
//
// The rule is wider than the known commands: a request that only reads is never refused, any other name that contains
// one of ownerWords is. The commands are in devices/PROTOCOLS.md.
func changesOwner(request []byte) bool { return searchOwner(string(request), 0) }

// ownerWords are parts of the names of such commands: bind, unbind and set_server_url of IOT; set_qs_info and
// device_reset of SMART; changeAdminPassword of cameras; reset of all.
var ownerWords = []string{"bind", "serverurl", "sefserver", "qsinfo", "reset", "factory", "adminpassword"}

// maxTexts is how deep texts may hold requests. A deeper one is taken for a change.
const maxTexts = 4

// searchOwner looks at every name and text of a request, and into texts that are JSON again, because devices take
// requests in any order and depth.
func searchOwner(text string, depth int) bool {
	if depth > maxTexts {
		return true
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var inObject []bool // of each object or list that is open
	name := false       // the next token is the name of a member
	member := ""        // the last name
	for {
		// Tokens and not values: of two members of one name, a map would keep one.
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return false
		}
		if err != nil {
			return depth == 0 // a text that is no JSON is no request
		}
		switch v := tok.(type) {
		case json.Delim:
			if v == '{' || v == '[' {
				inObject = append(inObject, v == '{')
				name = v == '{'
				continue
			}
			inObject = inObject[:len(inObject)-1]
		case string:
			if name {
				if member = v; namesChange(v) {
					return true
				}
				name = false
				continue
			}
			if plain(member) == "method" && namesChange(v) ||
				strings.ContainsAny(v, "{[") && searchOwner(v, depth+1) {
				return true
			}
		}
		name = len(inObject) > 0 && inObject[len(inObject)-1]
	}
}

// namesChange returns whether a name contains one of ownerWords, and does not begin as one that reads.
func namesChange(s string) bool {
	s = plain(s)
	if strings.HasPrefix(s, "get") {
		return false
	}
	for _, w := range ownerWords {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}

// plain returns a name in lower case, without anything but letters.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r
		}
		return -1
	}, strings.ToLower(s))
}
