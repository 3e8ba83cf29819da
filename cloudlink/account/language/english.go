package language

// English returns the texts in English.
func English() *Texts {
	return &Texts{Tag: "en", Name: "English", Mail: englishMail(), Site: englishSite()}
}
