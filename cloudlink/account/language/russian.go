package language

// Russian returns the texts in Russian: the guide that this service implements is read in it.
func Russian() *Texts {
	return &Texts{Tag: "ru", Name: "Русский", Mail: russianMail(), Site: russianSite()}
}
