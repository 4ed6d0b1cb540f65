metadata description = 'LabelLoop in a resource group of its own.'

targetScope = 'subscription'

@description('Name of the azd environment; all other names derive from it.')
@minLength(1)
@maxLength(64)
param environmentName string

@description('Region of everything but, if you like, the cluster. Flex Consumption and Azure Machine Learning must be there.')
@minLength(1)
param location string

@description('Name of the resource group; empty: rg-<environmentName>.')
@maxLength(90)
param resourceGroupName string = ''

@description('Whether the app may make and change Azure resources (POST /api/provision). When it is disabled, deploy event-subscriptions.bicep after the code.')
@allowed([
  'enabled'
  'disabled'
])
param provisioning string = 'enabled'

@description('Whether the workspace is made here; else the app makes it, or uses one of that name in the resource group. To make it, the app needs wider rights on the group.')
param createWorkspace bool = true

@description('Name of the Azure Machine Learning workspace; empty: mlw-<hash>.')
@maxLength(33)
param workspaceName string = ''

@description('Whether the cluster is made here, with the workspace; it always is when provisioning is disabled. Else the app makes it, after a look at size and quota: a subscription without GPU quota gets a readable refusal instead of a failed deployment.')
param createCluster bool = false

@description('Whether a new workspace\'s containers bear its id (data isolation). It can\'t be changed later.')
param workspaceDataIsolation bool = false

@description('Resource id of a container registry for a new workspace; empty: Azure ML makes one with the first image. The cluster\'s identity needs AcrPull on it, which is given outside of this template.')
param containerRegistryResourceId string = ''

@description('Name of a storage account in the resource group, such as that of an existing workspace, for images, exports and predictions; empty: one is made. Nothing of the account itself is changed.')
@maxLength(24)
param dataAccountName string = ''

@description('Name of the cluster: letters, digits and hyphens, not ending in a hyphen and digits.')
@minLength(3)
@maxLength(24)
param computeName string = 'gpu-cluster'

@description('VM size of the cluster\'s nodes: a GPU size of the NC or ND family.')
param computeSize string = 'Standard_NC4as_T4_v3'

@description('Dedicated, or LowPriority: cheaper, but nodes may be taken away.')
@allowed([
  'Dedicated'
  'LowPriority'
])
param computePriority string = 'Dedicated'

@description('Least number of nodes; above 0 they cost money all the time.')
@minValue(0)
@maxValue(1000)
param computeMinNodes int = 0

@description('Greatest number of nodes.')
@minValue(1)
@maxValue(1000)
param computeMaxNodes int = 4

@description('Idle time before a node is given back (s).')
@minValue(60)
@maxValue(86400)
param computeIdleSeconds int = 600

@description('Region of the cluster; empty: location. With privateNetwork it must be location.')
param computeLocation string = ''

@description('Memory of one instance of the app (MB). Images are scored in the app, too.')
@allowed([
  512
  2048
  4096
])
param instanceMemoryMB int = 2048

@description('Greatest number of instances of the app.')
@minValue(40)
@maxValue(1000)
param maximumInstanceCount int = 100

@description('Redundancy of the storage accounts that are made.')
@allowed([
  'Standard_LRS'
  'Standard_ZRS'
  'Standard_GRS'
  'Standard_GZRS'
  'Standard_RAGRS'
  'Standard_RAGZRS'
])
param storageSku string = 'Standard_LRS'

@description('How long deleted images, exports and predictions can be restored (days); 0 for not at all.')
@minValue(0)
@maxValue(365)
param deletedRetentionDays int = 7

@description('Age at which converted copies of images (prepared/ in the work container) are moved to the cool tier (days).')
@minValue(1)
@maxValue(3650)
param preparedCoolAfterDays int = 30

@description('Age at which these copies are deleted (days). Whatever still waits for its batch then is an error, so keep it well above the time that a batch takes.')
@minValue(7)
@maxValue(3650)
param preparedDeleteAfterDays int = 180

@description('How long logs are kept (days).')
@minValue(30)
@maxValue(730)
param logRetentionDays int = 30

@description('Whether nobody may purge the key vault before it has been deleted for 7 days. With it, an environment of the same name can be deployed again only after that time.')
param keyVaultPurgeProtection bool = false

@description('Whether storage, key vault and workspace are reached through private endpoints alone. The app itself stays public: Event Grid calls it.')
param privateNetwork bool = false

@description('Address range of the virtual network, from /16 to /22; each subnet is a /24.')
param networkAddressPrefix string = '10.88.0.0/21'

@description('Application (client) id of an app registration with which people sign in (Easy Auth); empty for none. Function keys go on working.')
param entraClientId string = ''

@description('Tenant in which people sign in; empty: the subscription\'s.')
param entraTenantId string = ''

@description('Whether the app may read quotas, GPU sizes and regions of the subscription, by a custom role. Else the pre-flight checks leave them out.')
param allowQuotaChecks bool = true

@description('What a month may cost before mails are sent, in the currency of the billing account; 0 for no budget.')
@minValue(0)
param budgetAmount int = 0

@description('Who gets these mails.')
param budgetEmail string = ''

@description('First day of the month since which the budget is there (yyyy-MM-01); empty: this month. azd keeps it as BUDGET_START_DATE, since Azure lets nobody change it later.')
param budgetStartDate string = ''

@description('Today. Not to be given.')
param today string = utcNow('yyyy-MM-01')

@description('App settings of your own, name to text; they go before all that is set here, and before the parameters above.')
param appSettings object = {}

var tags = {
  application: 'labelloop'
  'azd-env-name': environmentName
}
var token = toLower(uniqueString(subscription().id, environmentName, location))
var groupName = empty(resourceGroupName) ? 'rg-${environmentName}' : resourceGroupName
var workspace = empty(workspaceName) ? 'mlw-${token}' : workspaceName
var clusterLocation = empty(computeLocation) ? location : computeLocation
var hostAccountName = 'st${token}host'
var makesDataAccount = empty(dataAccountName)
var dataAccount = makesDataAccount ? 'st${token}data' : dataAccountName
var applicationInsightsName = 'appi-${token}'
var budgetStart = empty(budgetStartDate) ? today : budgetStartDate

// Everything that shared/settings.py knows and that does not follow from a resource made here, with its default.
var tuning = {
  EXPORT_QUIET_SECONDS: '60'
  ON_DUPLICATE: 'unite'
  MIN_LABEL_CONFIDENCE: '0'
  UNLABELLED: 'skip'
  BASE_MODELS: 'vitb16r224'
  MAX_TRIALS: '1'
  TRAIN_TIMEOUT_MINUTES: '360'
  TRAINING_BATCH_SIZE: ''
  VALIDATION_BATCH_SIZE: ''
  TRAIN_INCREMENTAL: 'false'
  ONNX_NORMALIZATION: 'false'
  ON_NEWER_EXPORT: 'queue'
  MIN_NEW_LABELS: '1'
  TRAIN_RATIO: '0.8'
  RANDOM_SEED: '1'
  MIN_IMAGES_PER_LABEL: '10'
  MODEL_NAME: 'multilabel'
  EXPERIMENT_NAME: 'labelloop'
  PROMOTE_METRIC: 'macro_average_precision'
  PROMOTE_MIN_GAIN: '0.0'
  PROMOTE_ALWAYS: 'false'
  THRESHOLD_OBJECTIVE: 'f1'
  THRESHOLD_MIN_PRECISION: '0.9'
  IMAGES_CONTAINER: 'images'
  PREDICTIONS_CONTAINER: 'predictions'
  WORK_CONTAINER: 'labelloop'
  PREDICTION_FORMATS: 'csv'
  BATCH_MAX_IMAGES: '5000'
  BATCH_INTERVAL: '0 * * * * *'
  BATCH_QUIET_SECONDS: '5'
  BATCH_MAX_WAIT_SECONDS: '300'
  BATCH_MIN_IMAGES: '200'
  BATCH_TIMEOUT_MINUTES: '720'
  INLINE_MAX_IMAGES: '32'
  API_AUTH: 'keys'
  WEBHOOK_ALLOWED_HOSTS: ''
  MAX_ATTEMPTS: '3'
  SWEEP_INTERVAL: '0 30 * * * *'
  SWEEP_GRACE_MINUTES: '30'
  MAX_IMAGE_MEGAPIXELS: '100'
  MAX_IMAGE_MEGABYTES: '100'
}
// The containers are those that the app is told to use.
var tuned = union(tuning, appSettings)
var dataContainers = [
  tuned.WORK_CONTAINER
  tuned.IMAGES_CONTAINER
  tuned.PREDICTIONS_CONTAINER
]
// In an account that is not ours the app makes what is missing, and lets be what is there; a template would overwrite it.
var makesContents = makesDataAccount || provisioning == 'disabled'

resource group 'Microsoft.Resources/resourceGroups@2024-03-01' = {
  name: groupName
  location: location
  tags: tags
}

module identities 'modules/identities.bicep' = {
  name: 'identities'
  scope: group
  params: {
    location: location
    tags: tags
    appIdentityName: 'id-app-${token}'
    clusterIdentityName: 'id-cluster-${token}'
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  scope: group
  params: {
    location: location
    tags: tags
    logAnalyticsName: 'log-${token}'
    applicationInsightsName: applicationInsightsName
    retentionDays: logRetentionDays
  }
}

module hostStorage 'modules/storage.bicep' = {
  name: 'host-storage'
  scope: group
  params: {
    location: location
    tags: tags
    name: hostAccountName
    sku: storageSku
    deletedRetentionDays: 0
    agingPrefix: ''
    coolAfterDays: 1
    deleteAfterDays: 1
    isPrivate: privateNetwork
  }
}

module hostContents 'modules/storage-contents.bicep' = {
  name: 'host-contents'
  scope: group
  params: {
    accountName: hostStorage.outputs.name
    containers: [
      'deployment'
    ]
    queues: []
    tables: []
  }
}

module dataStorage 'modules/storage.bicep' = if (makesDataAccount) {
  name: 'data-storage'
  scope: group
  params: {
    location: location
    tags: tags
    name: dataAccount
    sku: storageSku
    deletedRetentionDays: deletedRetentionDays
    agingPrefix: '${tuned.WORK_CONTAINER}/prepared/'
    coolAfterDays: preparedCoolAfterDays
    deleteAfterDays: preparedDeleteAfterDays
    isPrivate: privateNetwork
  }
}

module dataContents 'modules/storage-contents.bicep' = {
  name: 'data-contents'
  scope: group
  params: {
    accountName: makesDataAccount ? dataStorage.outputs.name : dataAccount
    containers: makesContents ? concat(dataContainers, [
      'dead-letters'
    ]) : []
    queues: makesContents ? [
      'provision'
      'label-exports'
      'job-events'
      'announcements'
      'rescore'
      'found-images'
      'webhooks'
    ] : []
    tables: makesContents ? [
      'ledger'
    ] : []
  }
}

module keyVault 'modules/keyvault.bicep' = {
  name: 'key-vault'
  scope: group
  params: {
    location: location
    tags: tags
    name: 'kv-${token}'
    purgeProtection: keyVaultPurgeProtection
    isPrivate: privateNetwork
  }
}

module events 'modules/events.bicep' = {
  name: 'events'
  scope: group
  params: {
    location: location
    tags: tags
    announcementsTopicName: 'evgt-${token}'
    makesStorageTopic: makesDataAccount
    storageTopicName: 'labelloop-${dataAccount}'
    dataAccountId: dataContents.outputs.id
  }
}

module network 'modules/network.bicep' = if (privateNetwork) {
  name: 'network'
  scope: group
  params: {
    location: location
    tags: tags
    name: 'vnet-${token}'
    addressPrefix: networkAddressPrefix
  }
}

module endpoints 'modules/private-endpoints.bicep' = if (privateNetwork) {
  name: 'private-endpoints'
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    subnetId: privateNetwork ? network.outputs.endpointsSubnetId : ''
    zoneIds: privateNetwork ? network.outputs.zoneIds : {}
    hostAccountId: hostContents.outputs.id
    dataAccountId: dataContents.outputs.id
    keyVaultId: keyVault.outputs.id
    workspaceId: createWorkspace ? machineLearning.outputs.id : ''
  }
}

module machineLearning 'modules/workspace.bicep' = if (createWorkspace) {
  name: 'workspace'
  scope: group
  params: {
    location: location
    tags: tags
    name: workspace
    topicName: take('labelloop-${replace(workspace, '_', '-')}', 50)
    dataAccountId: dataContents.outputs.id
    dataAccountName: dataAccount
    dataContainers: dataContainers
    keyVaultId: keyVault.outputs.id
    applicationInsightsId: monitoring.outputs.applicationInsightsId
    containerRegistryId: containerRegistryResourceId
    dataIsolation: workspaceDataIsolation
    isPrivate: privateNetwork
    makesCluster: provisioning == 'disabled' || createCluster
    computeName: computeName
    computeLocation: clusterLocation
    computeSize: computeSize
    computePriority: computePriority
    computeMinNodes: computeMinNodes
    computeMaxNodes: computeMaxNodes
    computeIdleSeconds: computeIdleSeconds
    computeIdentityId: identities.outputs.clusterIdentityId
    computeSubnetId: privateNetwork ? network.outputs.clusterSubnetId : ''
  }
}

module app 'modules/app.bicep' = {
  name: 'app'
  scope: group
  params: {
    location: location
    tags: tags
    name: 'func-${token}'
    planName: 'plan-${token}'
    identityId: identities.outputs.appIdentityId
    deploymentContainerUrl: '${hostContents.outputs.blobEndpoint}deployment'
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    subnetId: privateNetwork ? network.outputs.appSubnetId : ''
    applicationInsightsName: monitoring.outputs.applicationInsightsName
    entraClientId: entraClientId
    entraTenantId: empty(entraTenantId) ? subscription().tenantId : entraTenantId
    ownAppSettings: appSettings
    appSettings: union(tuning, {
      AzureWebJobsStorage__blobServiceUri: hostContents.outputs.blobEndpoint
      AzureWebJobsStorage__queueServiceUri: hostContents.outputs.queueEndpoint
      AzureWebJobsStorage__tableServiceUri: hostContents.outputs.tableEndpoint
      AzureWebJobsStorage__credential: 'managedidentity'
      AzureWebJobsStorage__clientId: identities.outputs.appClientId
      DATA_STORAGE__blobServiceUri: dataContents.outputs.blobEndpoint
      DATA_STORAGE__queueServiceUri: dataContents.outputs.queueEndpoint
      DATA_STORAGE__tableServiceUri: dataContents.outputs.tableEndpoint
      DATA_STORAGE__credential: 'managedidentity'
      DATA_STORAGE__clientId: identities.outputs.appClientId
      APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identities.outputs.appClientId};Authorization=AAD'
      AZURE_SUBSCRIPTION_ID: subscription().subscriptionId
      AZURE_RESOURCE_GROUP: group.name
      AZURE_LOCATION: location
      AZUREML_WORKSPACE_NAME: workspace
      DATA_STORAGE_RESOURCE_ID: dataContents.outputs.id
      KEY_VAULT_RESOURCE_ID: keyVault.outputs.id
      APPLICATION_INSIGHTS_RESOURCE_ID: monitoring.outputs.applicationInsightsId
      CONTAINER_REGISTRY_RESOURCE_ID: containerRegistryResourceId
      WORKSPACE_DATA_ISOLATION: workspaceDataIsolation ? 'true' : 'false'
      PROVISIONING: provisioning
      COMPUTE_NAME: computeName
      COMPUTE_SIZE: computeSize
      COMPUTE_MIN_NODES: string(computeMinNodes)
      COMPUTE_MAX_NODES: string(computeMaxNodes)
      COMPUTE_IDLE_SECONDS: string(computeIdleSeconds)
      COMPUTE_LOCATION: computeLocation
      COMPUTE_PRIORITY: computePriority
      COMPUTE_SUBNET_RESOURCE_ID: privateNetwork ? network.outputs.clusterSubnetId : ''
      COMPUTE_IDENTITY: identities.outputs.clusterIdentityId
      EVENTS_TOPIC_ENDPOINT: events.outputs.announcementsEndpoint
    })
  }
}

module roles 'modules/roles.bicep' = {
  name: 'roles'
  scope: group
  params: {
    hostAccountName: hostStorage.outputs.name
    dataAccountName: dataContents.outputs.name
    applicationInsightsName: monitoring.outputs.applicationInsightsName
    announcementsTopicName: events.outputs.announcementsTopicName
    appName: app.outputs.name
    mayProvision: provisioning == 'enabled'
    hasWorkspace: createWorkspace
    hasStorageTopic: makesDataAccount
    workspaceName: workspace
    clusterIdentityName: identities.outputs.clusterIdentityName
    hasNetwork: privateNetwork
    networkName: privateNetwork ? network.outputs.name : 'none'
    appPrincipalId: identities.outputs.appPrincipalId
    clusterPrincipalId: identities.outputs.clusterPrincipalId
    storageTopicPrincipalId: events.outputs.storageTopicPrincipalId
    workspaceTopicPrincipalId: createWorkspace ? machineLearning.outputs.topicPrincipalId : ''
  }
}

module quotaReader 'modules/quota-reader.bicep' = if (allowQuotaChecks) {
  name: 'quota-reader-${token}'
  params: {
    appPrincipalId: identities.outputs.appPrincipalId
  }
}

module budget 'modules/budget.bicep' = if (budgetAmount > 0) {
  name: 'budget'
  scope: group
  params: {
    name: 'budget-${token}'
    amount: budgetAmount
    contactEmails: [
      budgetEmail
    ]
    startDate: budgetStart
  }
}

output AZURE_RESOURCE_GROUP string = group.name
output AZURE_TENANT_ID string = subscription().tenantId
output AZUREML_WORKSPACE_NAME string = workspace
output BUDGET_START_DATE string = budgetAmount > 0 ? budgetStart : ''
output DATA_STORAGE_ACCOUNT_NAME string = dataAccount
output FUNCTION_APP_NAME string = app.outputs.name
output FUNCTION_APP_RESOURCE_ID string = app.outputs.id
output FUNCTION_APP_URL string = app.outputs.url
output PROVISIONING string = provisioning
output RESOURCE_MANAGER_ENDPOINT string = environment().resourceManager
