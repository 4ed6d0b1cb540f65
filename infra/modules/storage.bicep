metadata description = 'A storage account without keys.'

@description('Region.')
param location string

@description('Tags of the account.')
param tags object

@description('Name of the account.')
@minLength(3)
@maxLength(24)
param name string

@description('Redundancy.')
param sku string

@description('How long deleted blobs and containers can be restored (days); 0 for not at all.')
@minValue(0)
@maxValue(365)
param deletedRetentionDays int

@description('Prefix (container/path) of blobs that are moved to the cool tier and at last deleted; empty for none.')
param agingPrefix string

@description('Age at which these blobs are moved to the cool tier (days since they were written).')
@minValue(1)
param coolAfterDays int

@description('Age at which these blobs are deleted (days since they were written).')
@minValue(1)
param deleteAfterDays int

@description('Whether only private endpoints and Azure\'s own trusted services reach the account.')
param isPrivate bool

resource account 'Microsoft.Storage/storageAccounts@2024-01-01' = {
  name: name
  location: location
  tags: tags
  sku: {
    name: sku
  }
  kind: 'StorageV2'
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: 'Enabled'
    networkAcls: {
      defaultAction: isPrivate ? 'Deny' : 'Allow'
      // Event Grid writes dead letters with its own identity, Azure ML reads label exports:
      // https://learn.microsoft.com/azure/storage/common/storage-network-security-trusted-azure-services
      bypass: 'AzureServices'
    }
  }
}

resource blobService 'Microsoft.Storage/storageAccounts/blobServices@2024-01-01' = {
  parent: account
  name: 'default'
  properties: {
    deleteRetentionPolicy: deletedRetentionDays > 0 ? {
      enabled: true
      days: deletedRetentionDays
    } : {
      enabled: false
    }
    containerDeleteRetentionPolicy: deletedRetentionDays > 0 ? {
      enabled: true
      days: deletedRetentionDays
    } : {
      enabled: false
    }
  }
}

resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2024-01-01' = if (!empty(agingPrefix)) {
  parent: account
  name: 'default'
  properties: {
    policy: {
      rules: [
        {
          name: 'age'
          enabled: true
          type: 'Lifecycle'
          definition: {
            filters: {
              blobTypes: [
                'blockBlob'
              ]
              prefixMatch: [
                agingPrefix
              ]
            }
            actions: {
              baseBlob: {
                tierToCool: {
                  daysAfterModificationGreaterThan: coolAfterDays
                }
                delete: {
                  daysAfterModificationGreaterThan: deleteAfterDays
                }
              }
            }
          }
        }
      ]
    }
  }
  dependsOn: [
    blobService
  ]
}

output name string = account.name
