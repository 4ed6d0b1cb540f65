metadata description = 'Mails when a month costs more than it should.'

@description('Name of the budget.')
param name string

@description('What a month may cost, in the currency of the billing account.')
@minValue(1)
param amount int

@description('Who gets the mails.')
param contactEmails array

@description('First day of the month since which the budget is there (yyyy-MM-01). Azure lets nobody change it later.')
param startDate string

resource budget 'Microsoft.Consumption/budgets@2024-08-01' = {
  name: name
  properties: {
    category: 'Cost'
    amount: amount
    timeGrain: 'Monthly'
    timePeriod: {
      startDate: startDate
    }
    notifications: {
      actual80Percent: {
        enabled: true
        operator: 'GreaterThan'
        threshold: 80
        thresholdType: 'Actual'
        contactEmails: contactEmails
      }
      forecast100Percent: {
        enabled: true
        operator: 'GreaterThan'
        threshold: 100
        thresholdType: 'Forecasted'
        contactEmails: contactEmails
      }
    }
  }
}
