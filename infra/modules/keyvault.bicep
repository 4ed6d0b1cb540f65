metadata description = 'The key vault that an Azure Machine Learning workspace must have. LabelLoop itself keeps no secrets.'

@description('Region.')
param location string

@description('Tags of the vault.')
param tags object

@description('Name of the vault.')
@minLength(3)
@maxLength(24)
param name string

@description('Whether nobody may purge the vault before it has been deleted for 7 days.')
param purgeProtection bool

@description('Whether only private endpoints and Azure\'s own trusted services reach the vault.')
param isPrivate bool

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: subscription().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    enableSoftDelete: true
    softDeleteRetentionInDays: 7
    // Azure takes true or nothing: https://learn.microsoft.com/azure/templates/microsoft.keyvault/vaults
    enablePurgeProtection: purgeProtection ? true : null
    publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'
    networkAcls: {
      defaultAction: isPrivate ? 'Deny' : 'Allow'
      bypass: 'AzureServices'
    }
  }
}

output id string = vault.id
