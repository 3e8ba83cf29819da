package home

import (
	"strings"
	"unicode"
)

// maxWords bounds how many words of an address are tried in other letter case: 3 to the power of it are hashed.
const maxWords = 6

// Spelling returns the address in the letter case in which a device was set up that announces owner; ok is false where
// it was set up with another address, or in a letter case that people do not type. The cases tried are the account's
// own, and every word of the address in lower case, with a capital first letter, or in capitals. It is a claim as
// owner is: an attacker who guesses the address can announce its hash.
func Spelling(email, owner string) (spelled string, ok bool) {
	if email == "" || owner == "" || owner == NoOwner {
		return "", false
	}
	lower := strings.ToLower(email)
	for _, s := range []string{email, lower} {
		if OwnerOf(s) == owner {
			return s, true
		}
	}
	return spell("", lower, maxWords, owner)
}

// spell tries every case of the words in rest behind done.
func spell(done, rest string, words int, owner string) (spelled string, ok bool) {
	notLetter := func(r rune) bool { return !unicode.IsLetter(r) }
	begin := strings.IndexFunc(rest, unicode.IsLetter)
	if begin < 0 || words == 0 {
		s := done + rest
		return s, OwnerOf(s) == owner
	}
	done, rest = done+rest[:begin], rest[begin:]
	end := strings.IndexFunc(rest, notLetter)
	if end < 0 {
		end = len(rest)
	}
	word, rest := rest[:end], rest[end:]
	capitals := strings.ToUpper(word)
	first := len(string([]rune(word)[:1]))
	for _, cased := range []string{word, strings.ToUpper(word[:first]) + word[first:], capitals} {
		if s, ok := spell(done+cased, rest, words-1, owner); ok {
			return s, true
		}
	}
	return "", false
}

// For returns the subject with the credentials that the device holds if it was set up with the address in another
// letter case. Drivers try lower case by themselves.
func (s Subject) For(d Device) Subject {
	spelled, ok := Spelling(s.Account.Email, d.Owner)
	if !ok || spelled == s.Account.Email || spelled == strings.ToLower(spelled) {
		return s
	}
	own := s.Credentials
	s.Credentials = append([]Credential{}, own...)
	for _, c := range own {
		if c.Username == s.Account.Email {
			c.Username = spelled
			s.Credentials = append(s.Credentials, c)
		}
	}
	return s
}
