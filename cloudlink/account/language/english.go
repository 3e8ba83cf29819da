package language

import (
	"fmt"
	"time"
)

// English returns the texts in English.
func English() *Texts {
	return &Texts{Tag: "en", Name: "English", Mail: englishMail(), Site: englishSite(), House: englishHouse()}
}

// englishTime writes an instant in English, in UTC and with that name: the reader may be in any time zone.
func englishTime(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") }

// englishMany is "1 device", "2 devices".
func englishMany(n int, one, many string) string {
	if n == 1 {
		return fmt.Sprint(n, " ", one)
	}
	return fmt.Sprint(n, " ", many)
}

// englishDoor is a door of the account, behind "through".
func englishDoor(door string) string {
	switch door {
	case "kasa":
		return "the Kasa app"
	case "tpcamera":
		return "the tpCamera app"
	}
	return "the website"
}
