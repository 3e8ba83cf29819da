package language

import (
	"fmt"
	"time"
)

// Russian returns the texts in Russian: the guide that this service implements is read in it.
func Russian() *Texts {
	return &Texts{Tag: "ru", Name: "Русский", Mail: russianMail(), Site: russianSite(), House: russianHouse()}
}

// russianTime writes an instant in Russian, in UTC and with that name: the reader may be in any time zone.
func russianTime(t time.Time) string {
	months := [...]string{
		"января", "февраля", "марта", "апреля", "мая", "июня", "июля", "августа", "сентября", "октября", "ноября", "декабря",
	}
	t = t.UTC()
	return fmt.Sprintf("%d %s %d г., %s UTC", t.Day(), months[t.Month()-1], t.Year(), t.Format("15:04"))
}

// russianMany is "1 устройство", "2 устройства", "5 устройств", "21 устройство".
func russianMany(n int, one, few, many string) string {
	return fmt.Sprint(n, " ", russianForm(n, one, few, many))
}

// russianForm is the form of a noun that a number asks for.
func russianForm(n int, one, few, many string) string {
	switch tens, ones := n%100/10, n%10; {
	case tens != 1 && ones == 1:
		return one
	case tens != 1 && ones >= 2 && ones <= 4:
		return few
	}
	return many
}

// russianDoor is a door of the account, behind "через".
func russianDoor(door string) string {
	switch door {
	case "kasa":
		return "приложение Kasa"
	case "tpcamera":
		return "приложение tpCamera"
	}
	return "сайт"
}
