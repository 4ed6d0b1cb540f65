metadata description = 'A storage account without keys, with its containers, queues and tables.'

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

@description('Names of the blob containers.')
param containers array

@description('Names of the queues.')
param queues array

@description('Names of the tables.')
param tables array

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

resource blobContainers 'Microsoft.Storage/storageAccounts/blobServices/containers@2024-01-01' = [for container in containers: {
  parent: blobService
  name: container
  properties: {
    publicAccess: 'None'
  }
}]

resource queueService 'Microsoft.Storage/storageAccounts/queueServices@2024-01-01' = {
  parent: account
  name: 'default'
}

resource storageQueues 'Microsoft.Storage/storageAccounts/queueServices/queues@2024-01-01' = [for queue in queues: {
  parent: queueService
  name: queue
}]

resource tableService 'Microsoft.Storage/storageAccounts/tableServices@2024-01-01' = {
  parent: account
  name: 'default'
}

resource storageTables 'Microsoft.Storage/storageAccounts/tableServices/tables@2024-01-01' = [for table in tables: {
  parent: tableService
  name: table
}]

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

output id string = account.id
output name string = account.name
output blobEndpoint string = account.properties.primaryEndpoints.blob
output queueEndpoint string = account.properties.primaryEndpoints.queue
output tableEndpoint string = account.properties.primaryEndpoints.table
