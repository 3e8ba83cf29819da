package language

// Mail is what mails say.
type Mail struct{}

func englishMail() Mail { return Mail{} }
